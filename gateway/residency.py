"""Which models the workers of the inference pool have, as they say themselves every five seconds."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from gateway.dependencies import Parts
from schemas.residency import InferenceModel, InferenceModels, Resident
from storage import workers


async def models_of(parts: Parts, principal: str) -> InferenceModels:
    """Those of everybody, and of registered ones the principal's own. Raises StoreUnavailable."""
    present: dict[str, list[str]] = defaultdict(list)
    resident: dict[str, list[Resident]] = defaultdict(list)
    allowed: set[str] = set()
    for worker, told in await _told(parts):
        allowed.update(told["allowed"])
        for name in told["present"]:
            present[name].append(worker)
        for each in told["resident"]:
            if each["owner"] in (None, principal):
                resident[each["name"]].append(Resident(worker=worker, **each))
    names = sorted({*present, *resident})
    items = [InferenceModel(name=name, present=present[name], resident=resident[name]) for name in names]
    return InferenceModels(items=items, allowed=sorted(allowed))


async def _told(parts: Parts) -> list[tuple[str, dict[str, Any]]]:
    now = datetime.now(UTC)
    roster = await parts.store.reading(workers.roster(parts.database))
    pools = [(each.worker, each.status.get("inference", {})) for each in roster if each.alive(now)]
    return [(worker, pool["models"]) for worker, pool in pools if "models" in pool]
