"""What a dead letter carries: the original headers and bytes, and in `mr-dead-` headers how it came to that.

The broker's own `x-first-death-reason` is no evidence: it says `expired` for a message that waited in a delay tier
and was given up on much later.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

_PREFIX = "mr-dead-"


class Reason(StrEnum):
    EXHAUSTED = "exhausted"
    """Every attempt failed."""
    UNDECODABLE = "undecodable"
    """Headers or body do not fit any contract."""
    RUNTIME_FAULT = "runtime-fault"
    """Our own code failed around the handler."""
    KILLS_WORKER = "kills-worker"
    """Returned to the broker too often: whoever takes it dies."""


@dataclass(frozen=True)
class Forensics:
    reason: Reason
    queue: str
    at: str = ""
    error_type: str = ""
    error_detail: str = ""
    fingerprint: str = ""
    traceback: str = ""
    started_at: str = ""
    host: str = ""
    worker: str = ""
    code_version: str = ""

    def headers(self) -> dict[str, Any]:
        return {
            _PREFIX + item.name.replace("_", "-"): value
            for item in fields(self)
            if (value := str(getattr(self, item.name)))
        }

    @classmethod
    def from_headers(cls, headers: dict[str, Any]) -> Self:
        """Ours when they are there; else what the broker says, which dead-letters on its own only for returns."""
        known = {item.name: str(headers.get(_PREFIX + item.name.replace("_", "-"), "")) for item in fields(cls)}
        if known["reason"] in set(Reason):
            return cls(reason=Reason(known.pop("reason")), **known)
        deaths = headers.get("x-death")
        death = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
        return cls(
            reason=Reason.KILLS_WORKER,
            queue=str(death.get("queue", "")),
            at=datetime.now(UTC).isoformat(),
            error_type="WorkerKilled",
            error_detail=f"returned to the broker {headers.get('x-delivery-count', 'too many')} times unsettled",
            fingerprint="worker-killed",
        )


def without_forensics(headers: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in headers.items() if not name.startswith(_PREFIX)}
