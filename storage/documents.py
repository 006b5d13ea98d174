"""Documents and their indexes. Operations on a collection live in the module named after it."""

from datetime import datetime
from typing import Any

from beanie import Document
from pydantic import BaseModel
from pymongo import ASCENDING, DESCENDING, IndexModel

from schemas.lifecycle import JobError, JobState


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


class DeadLetterDocument(Document):
    """A message given up on: its original bytes and headers, and why."""

    id: str  # type: ignore[assignment]
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

    class Settings:
        name = "dead_letters"
        indexes = [  # noqa: RUF012
            IndexModel([("fingerprint", ASCENDING), ("died_at", DESCENDING)]),
            IndexModel([("job_id", ASCENDING)]),
            IndexModel([("died_at", DESCENDING), ("_id", DESCENDING)]),
        ]


DOCUMENTS: tuple[type[Document], ...] = (JobDocument, DeadLetterDocument)
