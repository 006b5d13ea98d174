"""Why a job stands where it stands: a pure decision from what the parts say, told in plain sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from messaging import names
from messaging.inspection import QueueCount
from messaging.retry import beyond_tiers
from producers.custody import Holders, holders, unheld
from schemas.lifecycle import JobState
from schemas.resources import (
    JobExplanation,
    JobFailure,
    LeaseView,
    QueuePlace,
    QueueState,
    RetryState,
    Standing,
    WorkerView,
)
from storage.census import StoredJob, StoredLease
from storage.documents import LeaseState
from storage.workers import WorkerReport

COUNTED_AHEAD = 1000
_PAUSED, _GONE = "paused", "gone"


@dataclass(frozen=True)
class Facts:
    """What could be found out. None where the part that knows is away; `missing` then says so."""

    job_id: str
    now: datetime
    job: StoredJob | None
    failure: JobFailure | None = None
    lease: StoredLease | None = None
    ahead: int | None = None
    running: int = 0
    """Jobs of its kind that run."""
    queues: Mapping[str, QueueCount] | None = None
    roster: Sequence[WorkerReport] | None = None
    missing: Sequence[str] = ()

    @property
    def unfolded(self) -> int:
        """Messages that the ledger has not taken yet."""
        ledger = (self.queues or {}).get(names.LEDGER)
        return ledger.ready if ledger else 0


@dataclass(frozen=True)
class _Said:
    state: Standing
    summary: str
    next: str


def explain(facts: Facts) -> JobExplanation:
    job = facts.job
    if job is None:
        return _told(facts, _unseen(facts), [])
    workers = _workers(facts, job)
    said = _say(facts, job, workers)
    if said.state is Standing.FINISHED:
        return _told(facts, said, [], kind=job.kind, status=job.status)
    return _told(
        facts,
        said,
        workers,
        kind=job.kind,
        status=job.status,
        position=_place(facts) if said.state in _IN_QUEUE else None,
        queue=_queue(facts, job),
        retry=_retry(facts, job),
        lease=_lease(facts),
    )


def _told(facts: Facts, said: _Said, workers: list[WorkerView], **more: Any) -> JobExplanation:
    missing = list(facts.missing)
    if facts.unfolded and facts.job is not None:
        missing.append(f"the ledger has {facts.unfolded} messages to fold: what they tell is not in here")
    return JobExplanation(job=facts.job_id, **vars(said), workers=workers, missing=missing, **more)


def _say(facts: Facts, job: StoredJob, workers: list[WorkerView]) -> _Said:
    if job.status.terminal:
        return _Said(Standing.FINISHED, f"It has ended: {job.status}.", _after_end(job.status))
    if facts.lease is not None and facts.lease.state is not LeaseState.QUEUED:
        return _under_lease(facts.lease, facts.now)
    if job.status is JobState.RUNNING:
        return _running(facts, job, workers)
    if job.retry_at is not None and job.retry_at > facts.now:
        return _for_retry(job, job.retry_at, facts.now)
    return _in_queue(facts, job, workers)


def _unseen(facts: Facts) -> _Said:
    if facts.queues is None:
        what = "The broker, which holds what the ledger has not folded, is away"
    else:
        what = f"The ledger has {facts.unfolded} messages to fold"
    return _Said(
        Standing.LEDGER_BEHIND,
        f"{what}; if the job was accepted, it is among them.",
        "It becomes visible when the ledger comes to it; workers need not wait for that.",
    )


def _after_end(state: JobState) -> str:
    if state is JobState.DEAD:
        return "An operator can replay it from the dead letters."
    return "Nothing: this is final."


def _under_lease(lease: StoredLease, now: datetime) -> _Said:
    if lease.state is LeaseState.SETTLING:
        told = f"{lease.worker} has finished with it and is publishing how it ended."
        return _Said(Standing.RUNNING_UNDER_LEASE, told, "The ledger stores the outcome.")
    age_s = (now - lease.heartbeat_at).total_seconds()
    left_s = (lease.expires_at - now).total_seconds() if lease.expires_at else None
    if lease.state is LeaseState.LAPSED or (left_s is not None and left_s <= 0):
        told = f"{lease.worker} held it and was not heard for {age_s:.0f} s: its lease has expired."
        again = "The reaper publishes its command again, and the next worker continues."
        return _Said(Standing.LEASE_EXPIRED, told, again)
    told = f"{lease.worker} runs it and was heard {age_s:.0f} s ago."
    then = "" if left_s is None else f" Unless it is heard again within {left_s:.0f} s, another worker takes over."
    return _Said(Standing.RUNNING_UNDER_LEASE, told, f"It ends, or reports progress.{then}")


def _running(facts: Facts, job: StoredJob, workers: list[WorkerView]) -> _Said:
    own = next((worker for worker in workers if worker.worker == job.worker), None)
    name = job.worker or "A worker"
    if own is not None and own.state != _GONE:
        return _Said(Standing.RUNNING, f"{name} runs it.", "It ends, or fails and is tried again.")
    found = _holders(facts, job)
    if found is not None and (reason := unheld(job, facts.lease, found, facts.now)):
        return _unheld(reason)
    if own is not None or (found is not None and found.queue is not None and not found.queue.consumers):
        told = f"{name}, which ran it, is not heard any more."
        return _Said(Standing.WORKER_GONE, told, "The broker gives it to another worker, and it runs again.")
    return _Said(Standing.RUNNING, f"{name} runs it.", "It ends, or fails and is tried again.")


def _for_retry(job: StoredJob, retry_at: datetime, now: datetime) -> _Said:
    tier_s = _tier(job, retry_at)
    where = f"in the tier of {tier_s} s" if tier_s else "in the store, since no tier is as long"
    told = f"Attempt {job.attempt - 1} failed; attempt {job.attempt} waits {where}."
    left_s = (retry_at - now).total_seconds()
    return _Said(Standing.WAITING_FOR_RETRY, told, f"It returns to its work queue in {left_s:.0f} s.")


def _in_queue(facts: Facts, job: StoredJob, workers: list[WorkerView]) -> _Said:
    name = names.work_queue(job.kind)
    takers = [worker for worker in workers if worker.state != _GONE]
    if takers and all(worker.state == _PAUSED for worker in takers):
        told = f"Every worker of {job.kind} has paused: {takers[0].reason or 'no reason given'}"
        return _Said(Standing.POOL_PAUSED, told, "Each tries a single job again when its `probe_at` comes.")
    found = _holders(facts, job)
    if found is None:
        told = "It is queued; the broker, which holds its message, is away."
        return _Said(Standing.UNKNOWN, told, "The queue is as it was when the broker comes back.")
    if reason := unheld(job, facts.lease, found, facts.now):
        return _unheld(reason)
    if not takers and not (found.queue and found.queue.consumers):
        told = f"It waits in {name}, and no worker takes from it."
        return _Said(Standing.NO_WORKER, told, f"Start a pool that runs {job.kind}.")
    behind = {None: "", 0: ", next in line"}.get(facts.ahead, f" behind {_counted(facts.ahead)} older jobs")
    return _Said(Standing.WAITING_IN_QUEUE, f"It waits in {name}{behind}.", "A worker takes it when its turn comes.")


def _unheld(reason: str) -> _Said:
    told = f"Nothing seems to hold it: {reason}."
    return _Said(Standing.UNHELD, told, "The reaper publishes it again; `millrace verify` looks at once.")


def _holders(facts: Facts, job: StoredJob) -> Holders | None:
    if facts.queues is None:
        return None
    return holders(job.kind, facts.queues, facts.running, facts.roster or (), facts.now)


_IN_QUEUE = (Standing.WAITING_IN_QUEUE, Standing.NO_WORKER, Standing.POOL_PAUSED, Standing.UNKNOWN)


def _place(facts: Facts) -> QueuePlace | None:
    if facts.ahead is None:
        return None
    return QueuePlace(ahead=facts.ahead, at_least=facts.ahead >= COUNTED_AHEAD)


def _counted(ahead: int | None) -> str:
    return f"{ahead} or more" if ahead == COUNTED_AHEAD else str(ahead)


def _queue(facts: Facts, job: StoredJob) -> QueueState | None:
    name = names.work_queue(job.kind)
    count = (facts.queues or {}).get(name)
    return QueueState(name=name, ready=count.ready, consumers=count.consumers) if count else None


def _retry(facts: Facts, job: StoredJob) -> RetryState | None:
    if job.status is not JobState.QUEUED or job.retry_at is None:
        return None
    return RetryState(attempt=job.attempt, at=job.retry_at, tier_s=_tier(job, job.retry_at), error=facts.failure)


def _tier(job: StoredJob, retry_at: datetime) -> int | None:
    """The tier is not told, but follows from when the retry was scheduled. None for what waits longer."""
    delay_s = (retry_at - job.updated_at).total_seconds()
    if beyond_tiers(round(delay_s)):
        return None
    return min(names.RETRY_TIERS_S, key=lambda tier: abs(tier - delay_s))


def _lease(facts: Facts) -> LeaseView | None:
    lease = facts.lease
    if lease is None:
        return None
    expires_in_s = (lease.expires_at - facts.now).total_seconds() if lease.expires_at else None
    return LeaseView(
        worker=lease.worker,
        state=lease.state,
        epoch=lease.epoch,
        lapses=lease.lapses,
        heartbeat_age_s=round((facts.now - lease.heartbeat_at).total_seconds(), 1),
        expires_in_s=None if expires_in_s is None else round(expires_in_s, 1),
    )


def _workers(facts: Facts, job: StoredJob) -> list[WorkerView]:
    """Those alive, and whoever was last to have the job."""
    found = []
    for report in facts.roster or ():
        status = report.of_kind(job.kind)
        concerned = report.alive(facts.now) or report.worker == job.worker
        if status is not None and concerned:
            found.append(_worker(report, status, facts.now))
    return sorted(found, key=lambda view: view.worker)


def _worker(report: WorkerReport, status: dict[str, Any], now: datetime) -> WorkerView:
    return WorkerView(
        worker=report.worker,
        state=status.get("state", "taking") if report.alive(now) else _GONE,
        in_flight=status.get("in_flight") or 0,
        reason=status.get("reason"),
        probe_at=status.get("probe_at"),
        heartbeat_age_s=round(report.age_s(now), 1),
    )
