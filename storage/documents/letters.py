"""Dead letters, and who did what to them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from beanie import Document
from pydantic import BaseModel, ConfigDict, Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from storage.documents.claims import StoredClaim


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
    """Who did what to dead letters and models, and when. Only ever added to."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    schema_version: int = 1
    at: datetime
    actor: str
    action: str
    target: str
    """A letter, the job of a replay, or a model."""
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
