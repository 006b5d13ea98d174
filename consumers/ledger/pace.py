"""How long jobs take from submission to end, per kind: what the gateway's `Retry-After` is made of."""

from collections import OrderedDict
from datetime import datetime

_SMOOTHING = 0.1  # an exponential average over about the last twenty jobs
_MAX_OPEN = 100_000  # jobs whose end is awaited; the oldest are forgotten, which only costs their sample


class Pace:
    def __init__(self) -> None:
        self._submitted: OrderedDict[str, datetime] = OrderedDict()
        self.seconds: dict[str, float] = {}

    def submitted(self, job_id: str, at: datetime) -> None:
        self._submitted[job_id] = at
        if len(self._submitted) > _MAX_OPEN:
            self._submitted.popitem(last=False)

    def ended(self, job_id: str, kind: str, at: datetime) -> None:
        submitted_at = self._submitted.pop(job_id, None)
        if submitted_at is None:
            return
        taken_s = (at - submitted_at).total_seconds()
        before = self.seconds.get(kind, taken_s)
        self.seconds[kind] = before + _SMOOTHING * (taken_s - before)
