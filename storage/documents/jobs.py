"""The projection of jobs, and what beside it must be looked at in time."""

from datetime import datetime
from typing import Any

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel

from schemas.lifecycle import JobError, JobState
from storage.documents.claims import StoredClaim


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
    finish_asked: int | None = None
    """The generation that was asked to end early with what it has found."""
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
    cache_control: str | None = None

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
