"""Documents and their indexes. Operations on a collection live in the module named after it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from beanie import Document
from pydantic import BaseModel, ConfigDict, Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from schemas.lifecycle import JobError, JobState
from storage.model_documents import ModelDocument, ModelVersionDocument


class StoredClaim(BaseModel):
    """Where the bytes of a large value lie in the blob store."""

    path: str
    sha256: str


class JobDocument(Document):
    """The projection of one job, folded from its command and events. The ledger is its only writer."""

    id: str  # type: ignore[assignment]  # beanie's default is an ObjectId
    schema_version: int = 1
    order: int
    """Position of the newest event folded in: see schemas.lifecycle.Position."""
    kind: str
    status: JobState
    principal: str
    generation: int = 0
    attempt: int = 1
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime
    deadline: datetime | None = None
    retry_at: datetime | None = None
    """When the attempt that waits in a delay tier may start."""
    worker: str | None = None
    """Who announced that it runs the job."""
    progress: dict[str, Any] | None = None
    dataschema: str | None = None
    """Contract of `params`. Absent while the outcome was folded before the command."""
    params: dict[str, Any] | None = None
    params_claim: StoredClaim | None = None
    params_sha256: str | None = None
    """Digest of the command's body, kept when the request had an idempotency key."""
    result: dict[str, Any] | None = None
    result_claim: StoredClaim | None = None
    error: JobError | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None

    class Settings:
        name = "jobs"
        indexes = [  # noqa: RUF012  # beanie reads a list
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("kind", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]),
        ]


class DeadlineDocument(Document):
    """A deadline that somebody has to look at when it has passed. Beside the jobs, since an index there would cost
    every job a fortieth of what it costs the embedded store, and few have a deadline."""

    id: str  # type: ignore[assignment]  # the job's
    deadline: datetime

    class Settings:
        name = "deadlines"
        indexes = [IndexModel([("deadline", ASCENDING)])]  # noqa: RUF012


class LeaseState(StrEnum):
    RUNNING = "running"
    """A worker holds it, as long as it renews it."""
    SETTLING = "settling"
    """How the attempt ended is decided, and waits in `outbox` until it is published."""
    LAPSED = "lapsed"
    """The holder is gone and the command is about to be published again."""
    QUEUED = "queued"
    """The command is on its way to the next holder."""
    DONE = "done"


class OutgoingDocument(BaseModel):
    """A message that is decided on and not known to be published."""

    exchange: str
    routing_key: str
    headers: dict[str, Any]
    body: bytes


class LeaseDocument(Document):
    """Who runs a long job. The broker has forgotten the job, so everything needed to run it again is here."""

    id: str  # type: ignore[assignment]  # the job's
    schema_version: int = 1
    kind: str
    generation: int
    attempt: int
    epoch: int
    """Counts the claims of the job and fences off whoever held an earlier one."""
    lapses: int = 0
    """How many leases of this attempt expired."""
    state: LeaseState
    worker: str
    claim: str
    """Names the request that got the lease."""
    claimed_at: datetime
    heartbeat_at: datetime
    expires_at: datetime | None
    """When somebody else may act: never for what is done or queued."""
    headers: dict[str, Any]
    """The command's."""
    body: bytes
    checkpoint: StoredClaim | None = None
    """What the handler keeps for whoever continues its work."""
    outbox: list[OutgoingDocument] = Field(default_factory=list)
    done_at: datetime | None = None

    class Settings:
        name = "leases"
        indexes = [  # noqa: RUF012
            IndexModel([("expires_at", ASCENDING)], partialFilterExpression={"expires_at": {"$exists": True}}),
            IndexModel([("done_at", ASCENDING)], expireAfterSeconds=24 * 3600),
        ]


class WorkerDocument(Document):
    """What a consumer process last said of itself."""

    id: str  # type: ignore[assignment]  # host and process id
    schema_version: int = 1
    host: str
    code_version: str
    pools: list[str]
    started_at: datetime
    heartbeat_at: datetime
    status: dict[str, Any]
    """What its health page says, by pool."""

    class Settings:
        name = "workers"
        indexes = [IndexModel([("heartbeat_at", ASCENDING)], expireAfterSeconds=24 * 3600)]  # noqa: RUF012


class LetterState(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"
    """A replay has taken it: it is published, or about to be."""
    DISCARDED = "discarded"


class LetterEdit(BaseModel):
    body: bytes
    dataschema: str
    edited_at: datetime
    edited_by: str


class Letter(BaseModel):
    """A message given up on: its original bytes and headers, and why."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    schema_version: int = 1
    reason: str
    queue: str
    routing_key: str
    fingerprint: str
    error_type: str
    error_detail: str
    traceback: str
    died_at: datetime
    host: str
    worker: str
    code_version: str
    job_id: str | None = None
    kind: str | None = None
    generation: int | None = None
    attempt: int | None = None
    headers: dict[str, Any]
    body: bytes | None = None
    body_claim: StoredClaim | None = None
    """Where the body lies when it is too large for a document."""
    attempts: list[dict[str, Any]] = Field(default_factory=list)
    """The failed attempts before the last one: when, where, and of what."""
    state: LetterState = LetterState.OPEN
    stored_at: datetime
    settled_at: datetime | None = None
    """When it was replayed or discarded."""
    settled_by: str | None = None
    replay: str | None = None
    """The job that replays it, or did."""
    window: int | None = None
    """In which of that replay's steps."""
    discard_reason: str | None = None
    edit: LetterEdit | None = None
    """What replaces the body when it is replayed. The original stays."""
    revision: int = 0
    """Counts the edits."""


class DeadLetterDocument(Letter, Document):
    """A letter as the store declares it; what reads and writes letters works past Beanie."""

    class Settings:
        name = "dead_letters"
        # Few: the embedded store pays 0.1 ms for each of them in every update, whatever it changes. The first is for
        # the lists, the second for the windows in which a replay goes through the letters.
        indexes = [  # noqa: RUF012
            IndexModel([("state", ASCENDING), ("died_at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("died_at", DESCENDING)]),
        ]


class AuditEntry(BaseModel):
    """Who did what to the dead letters, and when. Only ever added to."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    schema_version: int = 1
    at: datetime
    actor: str
    action: str
    target: str
    """A letter, or the job of a replay."""
    detail: dict[str, Any] = Field(default_factory=dict)
    request_id: str | None = None


class AuditDocument(AuditEntry, Document):
    """An entry as the store declares it."""

    class Settings:
        name = "audit"
        indexes = [  # noqa: RUF012
            IndexModel([("at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("target", ASCENDING), ("at", DESCENDING)]),
        ]


class DatasetDocument(Document):
    """A name under which versions are kept. Follows from ingestions, like everything in the catalog."""

    id: str  # type: ignore[assignment]  # of owner and name
    schema_version: int = 1
    name: str
    principal: str
    created_at: datetime
    updated_at: datetime
    """When `latest` was ingested."""
    latest: str
    deleted_at: datetime | None = None

    class Settings:
        name = "datasets"
        indexes = [IndexModel([("updated_at", DESCENDING), ("_id", DESCENDING)])]  # noqa: RUF012


class DatasetVersionDocument(Document):
    """What one ingestion made."""

    id: str  # type: ignore[assignment]  # dataset and version
    schema_version: int = 1
    dataset_id: str
    version: str
    number: int
    """Counts the versions of the dataset, from 1."""
    job_id: str
    created_at: datetime
    ingested: dict[str, Any]
    """The result of the job."""

    class Settings:
        name = "dataset_versions"
        indexes = [  # noqa: RUF012
            IndexModel([("dataset_id", ASCENDING), ("number", DESCENDING)], unique=True),
        ]


class ProfileDocument(Document):
    """What one profiling made."""

    id: str  # type: ignore[assignment]  # of version and target
    schema_version: int = 1
    dataset_id: str
    version: str
    job_id: str
    created_at: datetime
    profiled: dict[str, Any]
    """The result of the job."""

    class Settings:
        name = "profiles"
        indexes = [IndexModel([("dataset_id", ASCENDING), ("created_at", DESCENDING)])]  # noqa: RUF012


class PluginDocument(Document):
    """A trainer, preprocessor or metric that a worker has found."""

    id: str  # type: ignore[assignment]  # kind and name
    schema_version: int = 1
    announced_at: datetime
    description: str
    """JSON of a PluginDescription."""

    class Settings:
        name = "plugins"
        indexes = [IndexModel([("announced_at", ASCENDING)], expireAfterSeconds=24 * 3600)]  # noqa: RUF012


DOCUMENTS: tuple[type[Document], ...] = (
    JobDocument,
    DeadlineDocument,
    LeaseDocument,
    WorkerDocument,
    DeadLetterDocument,
    AuditDocument,
    DatasetDocument,
    DatasetVersionDocument,
    ProfileDocument,
    ModelDocument,
    ModelVersionDocument,
    PluginDocument,
)
