"""The life of a job: its states, their order, and the events that move it from one to the next."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, JsonValue

from schemas.contract import Contract


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABORTED = "aborted"
    DEAD = "dead"

    @property
    def terminal(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)

    @property
    def rank(self) -> int:
        """queued < running < terminal; terminal states do not outrank each other, so the first one stands."""
        return {JobState.QUEUED: 0, JobState.RUNNING: 1}.get(self, 2)


_ATTEMPT_BITS, _RANK_BITS, _SEQUENCE_BITS, _REPORT_BITS = 12, 2, 24, 20
MAX_ATTEMPT = MAX_GENERATION = 2**_ATTEMPT_BITS - 1
MAX_SEQUENCE = 2**_SEQUENCE_BITS - 1
MAX_LAPSES: int = 2 ** (_SEQUENCE_BITS - _REPORT_BITS) - 1


class Position(NamedTuple):
    """Where an event stands in its job's life. Later positions win; equal ones are duplicates.

    `sequence` numbers the progress events of one attempt. Encoded as one integer below 2**50, which is exact in
    a BSON long, in a Redis stream id and in a JavaScript number: it guards the fold, numbers the live feed and
    is the ETag.
    """

    generation: int
    attempt: int
    rank: int
    sequence: int = 0

    @classmethod
    def of(cls, state: JobState, *, generation: int, attempt: int, sequence: int = 0) -> "Position":
        """Terminal states stand behind every attempt of their generation: once a job has ended, neither a doubled
        attempt nor a straggling retry can take it back to running."""
        return cls(generation, MAX_ATTEMPT if state.terminal else attempt, state.rank, sequence)

    @property
    def order(self) -> int:
        high = (self.generation << _ATTEMPT_BITS) | self.attempt
        return (((high << _RANK_BITS) | self.rank) << _SEQUENCE_BITS) | self.sequence


def running_sequence(lapses: int, report: int) -> int:
    """The sequence of a running attempt's `report`-th progress event, which counts from 0.

    What is told under a newer lease comes behind everything told under an older one, whose holder may be frozen and
    wake up. `lapses` is how many leases of this attempt have expired.
    """
    highest: int = 2**_REPORT_BITS - 1
    return (min(lapses, MAX_LAPSES) << _REPORT_BITS) | min(report, highest)


class JobError(Contract):
    """Why a job, or one attempt of it, did not succeed."""

    type: str
    """A problem slug (`invalid-input`, `attempts-exhausted`, ...)."""
    title: str
    detail: str = ""
    fingerprint: str | None = None
    """Exception type and normalised frames; equal for failures with one cause."""


class LifecycleEvent(Contract):
    """A fact about one job. The envelope says which job, attempt and generation."""

    fact: ClassVar[str]
    state: ClassVar[JobState]


class JobStarted(LifecycleEvent, name="job.started"):
    """A worker is running the job. Jobs that finish at once skip this: their outcome carries `started_at`."""

    fact: ClassVar[str] = "started"
    state: ClassVar[JobState] = JobState.RUNNING
    started_at: datetime
    worker: str


class JobProgressed(LifecycleEvent, name="job.progressed"):
    """How far a running job is. Lossy and advisory."""

    fact: ClassVar[str] = "progressed"
    state: ClassVar[JobState] = JobState.RUNNING
    fraction: Annotated[float, Field(ge=0, le=1)]
    message: str = ""
    eta_s: float | None = None


class JobFinishAsked(LifecycleEvent, name="job.finish-asked"):
    """Somebody who may wants the running job to end early, with the best that it has found. Told by the gateway;
    whoever runs the job looks for it when it renews its lease."""

    fact: ClassVar[str] = "finish-asked"
    state: ClassVar[JobState] = JobState.RUNNING


class JobRetryScheduled(LifecycleEvent, name="job.retry-scheduled"):
    """An attempt failed; the envelope's attempt is the next one, which waits in a delay tier."""

    fact: ClassVar[str] = "retry-scheduled"
    state: ClassVar[JobState] = JobState.QUEUED
    error: JobError
    not_before: datetime


class Outcome(LifecycleEvent):
    """A terminal event. `started_at` is None when no handler ran."""

    started_at: datetime | None
    finished_at: datetime


class JobSucceeded(Outcome, name="job.succeeded"):
    """The handler returned a result."""

    fact: ClassVar[str] = "succeeded"
    state: ClassVar[JobState] = JobState.SUCCEEDED
    result: dict[str, JsonValue]


class JobFailed(Outcome, name="job.failed"):
    """The handler rejected the job: its input is wrong and a retry cannot help."""

    fact: ClassVar[str] = "failed"
    state: ClassVar[JobState] = JobState.FAILED
    error: JobError


class JobAborted(Outcome, name="job.aborted"):
    """The deadline passed before an attempt could start."""

    fact: ClassVar[str] = "aborted"
    state: ClassVar[JobState] = JobState.ABORTED
    error: JobError


class JobCancelled(LifecycleEvent, name="job.cancelled"):
    """Somebody who may has cancelled the job. Told by the gateway; whoever runs the job hears it and stops."""

    fact: ClassVar[str] = "cancelled"
    state: ClassVar[JobState] = JobState.CANCELLED
    finished_at: datetime
    error: JobError


class JobDied(Outcome, name="job.died"):
    """The job was given up on and lies in the dead letters."""

    fact: ClassVar[str] = "died"
    state: ClassVar[JobState] = JobState.DEAD
    error: JobError


LIFECYCLE_EVENTS: tuple[type[LifecycleEvent], ...] = (
    JobStarted,
    JobProgressed,
    JobFinishAsked,
    JobRetryScheduled,
    JobSucceeded,
    JobFailed,
    JobAborted,
    JobCancelled,
    JobDied,
)
