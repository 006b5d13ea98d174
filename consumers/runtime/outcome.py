"""What follows from how an attempt ended: the one place that maps verdicts to events and broker actions."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consumers.runtime.fingerprint import bounded_traceback, fingerprint
from consumers.runtime.verdicts import Reject, RetryLater
from consumers.settings import CODE_VERSION, HOST, WORKER
from messaging.dead_letter import Forensics, Reason
from messaging.retry import next_delay_s
from schemas.lifecycle import JobError, JobFailed, JobRetryScheduled, LifecycleEvent


@dataclass(frozen=True)
class Finish:
    """Publish the event, then ack."""

    event: LifecycleEvent


@dataclass(frozen=True)
class Retry:
    """Send the next attempt to a delay tier, publish the event, then ack."""

    event: JobRetryScheduled
    delay_s: int


@dataclass(frozen=True)
class Bury:
    """Publish a dead letter, then ack. The dead-letters consumer tells the job's end when it has the letter."""

    forensics: Forensics


def after_failure(
    error: Exception, *, attempt: int, max_attempts: int, started_at: datetime, queue: str, rng: random.Random
) -> Finish | Retry | Bury:
    """A pure decision: reject fails the job, anything else is retried until its attempts are exhausted."""
    now = datetime.now(UTC)
    if isinstance(error, Reject):
        refusal = JobError(type=error.type, title=error.title, detail=_text(error.detail))
        return Finish(JobFailed(started_at=started_at, finished_at=now, error=refusal))
    asked_s = error.delay_s if isinstance(error, RetryLater) else None
    delay_s = next_delay_s(attempt, max_attempts, asked_s, rng)
    if delay_s is None:
        return Bury(forensics(error, Reason.EXHAUSTED, queue, started_at))
    return Retry(JobRetryScheduled(error=job_error(error), not_before=now + timedelta(seconds=delay_s)), delay_s)


def job_error(error: Exception) -> JobError:
    if isinstance(error, RetryLater):
        return JobError(type="retry-later", title="Something is in the way", detail=_text(error.detail))
    detail = _text(f"{type(error).__name__}: {error}")
    return JobError(type="attempt-failed", title="The attempt failed", detail=detail, fingerprint=fingerprint(error))


def forensics(error: Exception, reason: Reason, queue: str, started_at: datetime | None = None) -> Forensics:
    return Forensics(
        reason=reason,
        queue=queue,
        at=datetime.now(UTC).isoformat(),
        error_type=type(error).__name__,
        error_detail=_text(str(error)),
        fingerprint=fingerprint(error),
        traceback=_text(bounded_traceback(error), 8_000),
        started_at=started_at.isoformat() if started_at else "",
        host=HOST,
        worker=WORKER,
        code_version=CODE_VERSION,
    )


def _text(text: str, limit: int = 2_000) -> str:
    """What JSON and AMQP can carry: an exception may quote a file name that is no text."""
    return text.encode("utf-8", "replace").decode()[:limit]
