"""Tasks of users: see storage/tasks.py."""

from datetime import datetime
from typing import Any

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel


class TaskDocument(Document):
    """A name under which versions are kept. People make and change it."""

    id: str  # type: ignore[assignment]  # of owner and name
    schema_version: int = 1
    name: str
    principal: str
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    visibility: str
    created_at: datetime
    updated_at: datetime
    latest: str
    """The newest version."""
    number: int
    """Of the newest version."""
    lineage: list[dict[str, Any]] = Field(default_factory=list)
    deleted_at: datetime | None = None

    class Settings:
        name = "tasks"
        indexes = [  # noqa: RUF012
            IndexModel([("updated_at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("tags", ASCENDING), ("updated_at", DESCENDING)]),
        ]


class TaskVersionDocument(Document):
    """What a task was made of at one time; never changed."""

    id: str  # type: ignore[assignment]  # task and version
    schema_version: int = 1
    task_id: str
    version: str
    number: int
    """Counts the versions of the task, from 1."""
    created_at: datetime
    content: str
    """JSON of a TaskContent: a JSON Schema has names like `$schema`, which a document must not have."""

    class Settings:
        name = "task_versions"
        indexes = [IndexModel([("task_id", ASCENDING), ("number", DESCENDING)], unique=True)]  # noqa: RUF012


class TaskUseDocument(Document):
    """A run of a task that succeeded. Follows from its result, so that none is counted twice."""

    id: str  # type: ignore[assignment]  # the job's
    schema_version: int = 1
    task_id: str
    version: str
    at: datetime

    class Settings:
        name = "task_uses"
        indexes = [IndexModel([("task_id", ASCENDING)])]  # noqa: RUF012
