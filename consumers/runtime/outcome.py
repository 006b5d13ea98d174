"""What follows from how an attempt ended: the one place that maps verdicts to events and broker actions."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consumers.runtime.ceiling import Ceiling, Taking
from consumers.runtime.fingerprint import describe, text
from consumers.runtime.incoming import Undecodable
from consumers.runtime.verdicts import HaltConsumer, NotNow, Reject, RetryLater
from consumers.settings import CODE_VERSION, HOST, WORKER
from messaging.dead_letter import Forensics, Reason
from messaging.retry import next_delay_s, tier_of_at_least
from schemas.dead_letters import FailedAttempt
from schemas.envelope import Envelope
from schemas.kinds import AnyKind
from schemas.lifecycle import JobAborted, JobError, JobFailed, JobRetryScheduled, LifecycleEvent


@dataclass(frozen=True)
class Finish:
    """Publish the event."""

    event: LifecycleEvent


@dataclass(frozen=True)
class Retry:
    """Publish the event and send the next attempt to a delay tier, or into the store if no tier is as long."""

    event: JobRetryScheduled
    delay_s: int
    failed: FailedAttempt


@dataclass(frozen=True)
class Postpone:
    """Send the same attempt to a delay tier: it says nothing about the job that it failed here."""

    delay_s: int


@dataclass(frozen=True)
class Bury:
    """Publish a dead letter. The dead-letters consumer tells the job's end when it has the letter."""

    forensics: Forensics


Decision = Finish | Retry | Postpone | Bury


@dataclass(frozen=True)
class Attempt:
    """What the decision after a failure depends on, beside the error."""

    envelope: Envelope
    kind: AnyKind
    started_at: datetime
    queue: str
    rng: random.Random


def judge(error: Exception, attempt: Attempt, ceiling: Ceiling) -> Decision:
    """After a failure: what `after_failure` says, unless the trouble is here and not in the job."""
    if isinstance(error, Undecodable):
        return Bury(forensics(error, Reason.UNDECODABLE, attempt.queue))
    if isinstance(error, HaltConsumer):
        ceiling.halt(error.detail)
        return _postponed(ceiling)
    if isinstance(error, NotNow):
        return Postpone(tier_of_at_least(error.delay_s))
    decision = after_failure(error, attempt)
    if isinstance(decision, Finish):
        ceiling.ended()
        return decision
    if ceiling.taking is Taking.ONE:
        ceiling.halt(f"the probe failed: {type(error).__name__}: {error}")
        return _postponed(ceiling)
    if isinstance(decision, Bury) and not ceiling.admits_dead_letter(error):
        return _postponed(ceiling)
    return decision


def _postponed(ceiling: Ceiling) -> Postpone:
    delay_s = tier_of_at_least(ceiling.until_probe_s)
    ceiling.postponed(delay_s)
    return Postpone(delay_s)


def after_failure(error: Exception, attempt: Attempt) -> Finish | Retry | Bury:
    """A pure decision: reject fails the job, anything else is retried until its attempts or its time are used up."""
    now = datetime.now(UTC)
    if isinstance(error, Reject):
        refusal = JobError(type=error.type, title=error.title, detail=text(error.detail))
        return Finish(JobFailed(started_at=attempt.started_at, finished_at=now, error=refusal))
    asked_s = error.delay_s if isinstance(error, RetryLater) else None
    number = attempt.envelope.attempt
    delay_s = next_delay_s(number, attempt.kind.max_attempts, asked_s, attempt.rng, attempt.kind.backoff_s)
    if delay_s is None:
        return Bury(forensics(error, Reason.EXHAUSTED, attempt.queue, attempt.started_at))
    not_before = now + timedelta(seconds=delay_s)
    cause = job_error(error)
    if attempt.envelope.deadline is not None and attempt.envelope.deadline <= not_before:
        return Finish(missed_deadline(attempt.envelope.deadline, f"; attempt {number} failed: {cause.detail}"))
    event = JobRetryScheduled(error=cause, not_before=not_before)
    return Retry(event, delay_s, _failed_attempt(error, number, now))


def missed_deadline(deadline: datetime, why: str = "") -> JobAborted:
    detail = text(f"no attempt could start by {deadline.isoformat()}{why}")
    error = JobError(type="deadline-missed", title="The deadline passed before an attempt could start", detail=detail)
    return JobAborted(started_at=None, finished_at=datetime.now(UTC), error=error)


def job_error(error: Exception) -> JobError:
    if isinstance(error, RetryLater):
        return JobError(type="retry-later", title="Something is in the way", detail=text(error.detail))
    failure = describe(error)
    detail = text(f"{failure.error_type}: {failure.detail}")
    return JobError(type="attempt-failed", title="The attempt failed", detail=detail, fingerprint=failure.fingerprint)


def forensics(error: Exception, reason: Reason, queue: str, started_at: datetime | None = None) -> Forensics:
    failure = describe(error)
    return Forensics(
        reason=reason,
        queue=queue,
        at=datetime.now(UTC).isoformat(),
        error_type=failure.error_type,
        error_detail=failure.detail,
        fingerprint=failure.fingerprint,
        traceback=failure.traceback,
        started_at=started_at.isoformat() if started_at else "",
        host=HOST,
        worker=WORKER,
        code_version=CODE_VERSION,
    )


def _failed_attempt(error: Exception, number: int, now: datetime) -> FailedAttempt:
    failure = describe(error)
    return FailedAttempt(
        attempt=number,
        failed_at=now.isoformat(),
        worker=WORKER,
        error_type=failure.error_type,
        error_detail=failure.detail,
        fingerprint=failure.fingerprint,
    )
