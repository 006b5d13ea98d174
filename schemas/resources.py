"""HTTP resources: what clients see of a job."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, PlainSerializer, StringConstraints

from schemas.lifecycle import JobState


def _in_milliseconds(time: datetime) -> str:
    """One rendering wherever a time comes from: MongoDB keeps milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(_in_milliseconds, return_type=str, when_used="json")]


class Resource(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class JobProgress(Resource):
    fraction: float
    message: str = ""
    eta_s: float | None = None


class JobFailure(Resource):
    type: str
    """Path of the page that explains it."""
    title: str
    detail: str
    fingerprint: str | None = None


class JobLinks(Resource):
    self: str
    events: str


class JobSummary(Resource):
    """A job as it stands in a list."""

    id: str
    kind: str
    status: JobState
    principal: str
    created_at: Time
    started_at: Time | None = None
    finished_at: Time | None = None
    attempt: int
    generation: int
    progress: JobProgress | None = None
    error: JobFailure | None = None
    links: JobLinks


class Job(JobSummary):
    """A job in full."""

    params: dict[str, JsonValue] | None
    """As they were accepted, defaults filled in."""
    result: dict[str, JsonValue] | None = None


class Standing(StrEnum):
    """Where a job stands, more closely than its status says."""

    FINISHED = "finished"
    LEDGER_BEHIND = "ledger-behind"
    """The ledger has not folded all there is, and the job may be in what it has not seen."""
    WAITING_IN_QUEUE = "waiting-in-queue"
    NO_WORKER = "no-worker"
    """In its queue, and no worker runs its kind."""
    POOL_PAUSED = "pool-paused"
    """In its queue, and every worker of its kind has stopped taking work for now."""
    WAITING_FOR_RETRY = "waiting-for-retry"
    RUNNING = "running"
    RUNNING_UNDER_LEASE = "running-under-lease"
    LEASE_EXPIRED = "lease-expired"
    """Its worker has not renewed the lease; somebody else will continue."""
    WORKER_GONE = "worker-gone"
    """Its worker is not heard any more, and the broker has not given the job to another yet."""
    UNHELD = "unheld"
    """No queue, tier, lease or worker seems to hold it."""
    UNKNOWN = "unknown"
    """What would tell is away: `missing` says what."""


class QueuePlace(Resource):
    ahead: int
    """Queued jobs of this kind that were accepted earlier."""
    at_least: bool = False
    """Whether counting stopped there."""


class QueueState(Resource):
    name: str
    ready: int
    """Messages that no worker has taken."""
    consumers: int


class RetryState(Resource):
    attempt: int
    """The attempt that waits."""
    at: Time
    tier_s: int | None
    """The delay tier that it waits in, in seconds; null where it waits in the store, longer than in any tier."""
    error: JobFailure | None = None
    """What the attempt before ended with."""


class LeaseView(Resource):
    worker: str
    state: str
    epoch: int
    """How often the job was claimed."""
    lapses: int
    """How many leases of this attempt have expired."""
    heartbeat_age_s: float
    expires_in_s: float | None = None
    """Negative once it has expired."""


class WorkerView(Resource):
    worker: str
    state: str
    """`taking`, `probing`, `paused`, or `gone` when it was not heard for 15 s."""
    in_flight: int = 0
    reason: str | None = None
    """Why it takes nothing."""
    probe_at: Time | None = None
    """When it tries again."""
    heartbeat_age_s: float


class JobExplanation(Resource):
    """Why a job stands where it stands, and what happens next."""

    job: str
    kind: str | None = None
    status: JobState | None = None
    """Null while the job is not visible yet."""
    state: Standing
    summary: str
    next: str
    position: QueuePlace | None = None
    queue: QueueState | None = None
    retry: RetryState | None = None
    lease: LeaseView | None = None
    workers: list[WorkerView] = []
    """Those that run its kind."""
    missing: list[str] = []
    """What could not be asked, and why."""


class JobPage(Resource):
    items: list[JobSummary]
    next: str | None
    """Path of the next page; null on the last."""


class JobRequest(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    kind: str
    """One of the kinds that `GET /v1/kinds` lists."""
    params: dict[str, JsonValue] = {}
    """What the kind's contract asks for."""


class CancelRequest(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    reason: Annotated[str, StringConstraints(max_length=500)] = ""
    """Why; stands in the job's `error`."""


class KindDescription(Resource):
    kind: str
    summary: str
    max_attempts: int
    params_schema: dict[str, JsonValue]
    result_schema: dict[str, JsonValue]
