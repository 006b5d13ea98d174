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
SHARED = (*map(names.retry_tier, names.RETRY_TIERS_S), names.DEAD)
_BEHIND_S = 5.0
_UNHEARD_S = 60.0  # heartbeats, twice 15 s, and some
# A lease in one of these is renewed, settled or expired by somebody. The command of a queued one is in the broker.
_HOLDING = (LeaseState.RUNNING, LeaseState.SETTLING, LeaseState.LAPSED)


@dataclass(frozen=True)
class Holders:
    """What may hold the jobs of one kind."""

    queue: QueueCount | None
    """Its work queue; None when there is none."""
    in_shared: int
    """Messages in what all kinds share: the delay tiers, and the queue of dead letters that nobody has stored yet."""
    running: int
    """Jobs that the projection knows to be running."""
    in_flight: int
    """Jobs that live workers say they have."""
    reporting: int
    """Live workers that say so. A worker that cannot reach the store does not."""

    @property
    def broker_holds(self) -> bool:
        """Whether a message that nobody has taken may be any of these jobs."""
        return self.queue is not None and bool(self.queue.ready or self.in_shared)


def holders(
    kind: str, queues: Mapping[str, QueueCount], running: int, roster: Iterable[WorkerReport], now: datetime
) -> Holders:
    """From what the broker, the projection and the workers say."""
    shared = [queues[name] for name in SHARED if name in queues]
    said = [found for report in roster if report.alive(now) and (found := report.of_kind(kind)) is not None]
    return Holders(
        queue=queues.get(names.work_queue(kind)),
        in_shared=sum(queue.ready for queue in shared),
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
    if found.broker_holds:
        return None
    if job.status is JobState.QUEUED:
        unannounced = found.in_flight > found.running
        return None if unannounced else "it is queued, and no queue and no delay tier holds it"
    all_report = found.reporting >= found.queue.consumers
    return "it is running, and no worker has it" if all_report and not found.in_flight else None


def quiet(job: StoredJob, lease: StoredLease | None, now: datetime, margin_s: float) -> bool:
    """Whether nobody holds it under a lease, and nothing was to happen to it within the margin."""
    if lease is not None and lease.state in _HOLDING:
        return False
    since = max(job.updated_at, job.retry_at or job.updated_at, lease.heartbeat_at if lease else job.updated_at)
    return (now - since).total_seconds() >= margin_s
