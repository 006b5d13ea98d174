"""The registry of models: see storage/models.py for the operations."""

from datetime import datetime
from typing import Any

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel


class ModelDocument(Document):
    """A name under which versions are kept. Follows from trainings; only its aliases are set by people."""

    id: str  # type: ignore[assignment]  # of owner and name
    schema_version: int = 1
    name: str
    principal: str
    created_at: datetime
    updated_at: datetime
    """When `latest` was trained."""
    latest: str
    aliases: dict[str, str] = Field(default_factory=dict)
    """Version by alias."""
    deleted_at: datetime | None = None

    class Settings:
        name = "models"
        indexes = [IndexModel([("updated_at", DESCENDING), ("_id", DESCENDING)])]  # noqa: RUF012


class ModelVersionDocument(Document):
    """What one training made."""

    id: str  # type: ignore[assignment]  # model and version
    schema_version: int = 1
    model_id: str
    version: str
    number: int
    """Counts the versions of the model, from 1."""
    principal: str
    job_id: str
    created_at: datetime
    archived_at: datetime | None = None
    trained: dict[str, Any]
    """The result of the job."""

    class Settings:
        name = "model_versions"
        indexes = [  # noqa: RUF012
            IndexModel([("model_id", ASCENDING), ("number", DESCENDING)], unique=True),
        ]
