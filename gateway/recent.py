"""What this gateway has accepted last, for those who look before the ledger has seen it."""

from collections import OrderedDict

from gateway.view import Snapshot
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.lifecycle import JobState, Position

_MOST = 1_000
_KNOWN = ("kind", "principal", "generation", "attempt", "dataschema", "correlation_id", "traceparent")


class Recent:
    def __init__(self) -> None:
        self._jobs: OrderedDict[str, tuple[Envelope, Contract]] = OrderedDict()

    def add(self, envelope: Envelope, params: Contract) -> None:
        self._jobs[envelope.job_id] = envelope, params
        if len(self._jobs) > _MOST:
            self._jobs.popitem(last=False)

    def find(self, job_id: str) -> Snapshot | None:
        """As it was accepted. Only for what neither Redis nor the store has: they know what came of it."""
        if job_id not in self._jobs:
            return None
        envelope, params = self._jobs[job_id]
        born = {"status": JobState.QUEUED, "created_at": envelope.time, "params": params.model_dump(mode="json")}
        position = Position.of(JobState.QUEUED, generation=envelope.generation, attempt=envelope.attempt)
        return Snapshot(job_id, position.order, {name: getattr(envelope, name) for name in _KNOWN} | born)
