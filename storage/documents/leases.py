"""Who runs a long job, who is there to run any, and what is to be run later."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from beanie import Document
from pydantic import BaseModel, Field
from pymongo import ASCENDING, IndexModel

from storage.documents.claims import StoredClaim


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


class ScheduledDocument(Document):
    """A command that waits for its time, which is further away than any delay tier."""

    id: str  # type: ignore[assignment]  # the job's
    schema_version: int = 1
    attempt: list[int]
    """Generation and attempt."""
    not_before: datetime
    queue: str
    headers: dict[str, Any]
    body: bytes

    class Settings:
        name = "schedule"
        indexes = [IndexModel([("not_before", ASCENDING)])]  # noqa: RUF012
