"""Standing in for a pool of which no worker takes anything: what it has answered before is told again, as a result of
the job that was accepted. A worker that comes later finds the job ended."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.watch import StoreWatch
from messaging import names
from messaging.inspection import Inspector
from messaging.publisher import BrokerUnavailable, PublishFailed
from producers.outbox import Outbox
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.kinds import AnyKind, kinds
from schemas.lifecycle import JobSucceeded
from schemas.texts import REGISTRY_PREFIX
from storage import models
from storage.answers import Answering, KeptAnswers, keys_of, result_of
from storage.blobs import BlobUnavailable
from storage.database import Database, StoreUnavailable

log = structlog.get_logger()


class StandIn:
    def __init__(
        self,
        kept: KeptAnswers,
        inspector: Inspector,
        database: Database,
        store: StoreWatch,
        outbox: Outbox,
        source: str,
    ) -> None:
        self._kept, self._inspector, self._outbox, self._source = kept, inspector, outbox, source
        self._database, self._store = database, store
        self._unserved: frozenset[str] = frozenset()

    async def answer(self, kind: AnyKind, envelope: Envelope, params: Contract) -> None:
        """End a job that was just requested, if no worker can and every one of its inputs was answered before."""
        if kind.name not in self._unserved or envelope.cache_control is not None:
            return
        result = await self._result(kind, envelope.principal, params)
        if result is None:
            return
        now = datetime.now(UTC)
        event = JobSucceeded(started_at=now, finished_at=now, result=result.model_dump(mode="json"))
        with suppress(PublishFailed, BlobUnavailable):  # it was accepted, and waits for its pool
            await self._outbox.tell(envelope.event(event, source=self._source), event)
            log.info("stood_in", kind=kind.name, job_id=envelope.job_id)

    async def look(self) -> None:
        """At which queues nobody takes from. While the broker is away nothing can be told anyway."""
        repeatable = {names.work_queue(kind.name): kind.name for kind in kinds().values() if kind.repeatable}
        try:
            found = await self._inspector.count(repeatable)
        except BrokerUnavailable:
            found = {}
        self._unserved = frozenset(repeatable[queue] for queue, count in found.items() if not count.consumers)

    async def _result(self, kind: AnyKind, principal: str, params: Contract) -> Contract | None:
        name = await self._name(principal, vars(params)["model"])
        model = None if name is None else await self._kept.model(Answering(kind.name, principal, name))
        if model is None:
            return None
        found = await self._kept.find(keys_of(kind, principal, model, params, vars(params)["inputs"]))
        known = [kept for kept in found if kept is not None]
        return result_of(kind, model, known, degraded=True) if len(known) == len(found) else None

    async def _name(self, principal: str, reference: str) -> str | None:
        """Exactly which model is meant; None when it is no model of the principal's, or nobody can tell."""
        if not reference.startswith(REGISTRY_PREFIX):
            return reference
        name, _, version = reference.removeprefix(REGISTRY_PREFIX).partition("@")
        found: dict[str, Any] | None = None
        with suppress(StoreUnavailable):
            found = await self._store.reading(models.named(self._database, principal, name, version or None))
        return None if found is None else f"{REGISTRY_PREFIX}{name}@{found['trained']['version']}"
