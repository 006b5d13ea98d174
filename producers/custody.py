"""Who holds a job that has not ended: the one decision behind `why`, `verify` and the reaper's reconciliation.

What can be known without taking a message out of a queue: how many are ready, who consumes, what the workers say of
themselves, and since when the job is as it is. A message that a worker holds is in none of the counts, so silence
counts only after a margin in which a worker would have told that it runs the job.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from messaging import names
from messaging.inspection import QueueCount
from schemas.lifecycle import JobState
from storage.census import StoredJob, StoredLease
from storage.documents import LeaseState
from storage.workers import WorkerReport

MARGIN_S = 60.0
"""A worker announces a job after 0.25 s; the rest is for a slow ledger, and for a broker that just came back."""
TIERS = tuple(map(names.retry_tier, names.RETRY_TIERS_S))
_BEHIND_S = 5.0
_UNHEARD_S = 60.0  # heartbeats, twice 15 s, and some
_OVERDUE_S = 240.0  # a tier repeats after 180 s what its target did not confirm
# A lease in one of these is renewed, settled or expired by somebody. The command of a queued one is in the broker.
_HOLDING = (LeaseState.RUNNING, LeaseState.SETTLING, LeaseState.LAPSED)


@dataclass(frozen=True)
class Holders:
    """What may hold the jobs of one kind."""

    queue: QueueCount | None
    """Its work queue; None when there is none."""
    dying: int
    """Dead letters of any kind that nobody has stored yet."""
    in_tiers: int
    """Messages of any kind in the delay tiers."""
    postponed: bool
    """Whether some of those may be attempts that a paused pool sent there, of which the projection knows nothing."""
    running: int
    """Jobs that the projection knows to be running."""
    in_flight: int
    """Jobs that live workers say they have."""
    reporting: int
    """Live workers that say so. A worker that cannot reach the store does not."""

    @property
    def broker_holds(self) -> bool:
        """Whether a message that nobody has taken may be any of these jobs."""
        if self.queue is None:
            return False
        return bool(self.queue.ready or self.dying or (self.in_tiers and self.postponed))


def holders(
    kind: str, queues: Mapping[str, QueueCount], running: int, roster: Iterable[WorkerReport], now: datetime
) -> Holders:
    """From what the broker, the projection and the workers say."""
    told = [(report, found) for report in roster if (found := report.of_kind(kind)) is not None]
    said = [found for report, found in told if report.alive(now)]
    return Holders(
        queue=queues.get(names.work_queue(kind)),
        dying=queues[names.DEAD].ready if names.DEAD in queues else 0,
        in_tiers=sum(queues[name].ready for name in TIERS if name in queues),
        postponed=any(_postponed(found, now) for _, found in told),
        running=running,
        in_flight=sum(int(found.get("in_flight") or 0) for found in said),
        reporting=len(said),
    )


def ledger_behind(roster: Iterable[WorkerReport], now: datetime) -> bool:
    """Whether a ledger holds messages that it has not folded, which no queue counts: it says so, or says nothing any
    more, while the broker may still take it for a consumer."""
    for report in roster:
        held = report.status.get("ledger")
        if not isinstance(held, Mapping) or report.age_s(now) >= _UNHEARD_S:
            continue
        if not report.alive(now) or float(held.get("behind_s") or 0) > _BEHIND_S:
            return True
    return False


def unheld(
    job: StoredJob, lease: StoredLease | None, found: Holders, now: datetime, margin_s: float = MARGIN_S
) -> str | None:
    """Why nothing can hold this job any more; None while something does or may.

    The caller knows that the ledger has nothing left to fold, or the job may long have gone on.
    """
    if not quiet(job, lease, now, margin_s):
        return None
    if found.queue is None:
        return "its work queue does not exist"
    if found.broker_holds or (found.in_tiers and _may_wait(job, now)):
        return None
    if job.status is JobState.QUEUED:
        unannounced = found.in_flight > found.running
        return None if unannounced else "it is queued, and no queue and no delay tier holds it"
    all_report = found.reporting >= found.queue.consumers
    return "it is running, and no worker has it" if all_report and not found.in_flight else None


def _may_wait(job: StoredJob, now: datetime) -> bool:
    """Whether it may still be in a delay tier, though its time is over."""
    return job.retry_at is not None and (now - job.retry_at).total_seconds() < _OVERDUE_S


def _postponed(found: Mapping[str, object], now: datetime) -> bool:
    until = found.get("postponed_until")
    return isinstance(until, str) and (now - datetime.fromisoformat(until)).total_seconds() < MARGIN_S


def quiet(job: StoredJob, lease: StoredLease | None, now: datetime, margin_s: float) -> bool:
    """Whether nobody holds it under a lease, and nothing was to happen to it within the margin."""
    if lease is not None and lease.state in _HOLDING:
        return False
    since = max(job.updated_at, job.retry_at or job.updated_at, lease.heartbeat_at if lease else job.updated_at)
    return (now - since).total_seconds() >= margin_s
