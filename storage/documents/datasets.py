"""The catalog of datasets."""

from datetime import datetime
from typing import Any

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel

from storage.documents.named import LAST_CHANGED_FIRST, Named


class DatasetDocument(Named, Document):
    """Versions follow from ingestions, and from predictions."""

    id: str  # type: ignore[assignment]  # of owner and name
    schema_version: int = 1

    class Settings:
        name = "datasets"
        indexes = [LAST_CHANGED_FIRST]  # noqa: RUF012


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
