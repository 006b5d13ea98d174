"""The registry of models, and what its models were asked: see storage/models.py and storage/predictions.py."""

from datetime import datetime
from typing import Any

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from storage.documents.named import LAST_CHANGED_FIRST, Named


class ModelDocument(Named, Document):
    """Versions follow from trainings; only the aliases are set by people."""

    id: str  # type: ignore[assignment]  # of owner and name
    schema_version: int = 1
    aliases: dict[str, str] = Field(default_factory=dict)
    """Version by alias."""

    class Settings:
        name = "models"
        indexes = [LAST_CHANGED_FIRST]  # noqa: RUF012


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
    deleted_at: datetime | None = None
    """A deleted version leaves its number, so that a rebuild of the registry does not bring it back."""
    trained: dict[str, Any]
    """The result of the job; nothing once it is deleted."""

    class Settings:
        name = "model_versions"
        indexes = [  # noqa: RUF012
            IndexModel([("model_id", ASCENDING), ("number", DESCENDING)], unique=True),
        ]


class PredictionDocument(Document):
    """An entry of the request log: what a model was asked, and what it said."""

    id: str  # type: ignore[assignment]  # the job's
    schema_version: int = 1
    model_id: str
    version: str
    at: datetime
    rows: int
    duration_s: float
    """From the start of the attempt to its result."""
    inputs: str | None = None
    """The rows, as JSON: a column may be called what no document can name a field."""
    outputs: str
    """What was answered for them, as JSON."""
    expires_at: datetime

    class Settings:
        name = "predictions"
        indexes = [  # noqa: RUF012
            IndexModel([("model_id", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
        ]


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
