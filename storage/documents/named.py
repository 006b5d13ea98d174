"""What names have in common under which versions are kept: see storage/shelves.py."""

from datetime import datetime

from pydantic import BaseModel
from pymongo import DESCENDING, IndexModel

LAST_CHANGED_FIRST = IndexModel([("updated_at", DESCENDING), ("_id", DESCENDING)])


class Named(BaseModel):
    """Follows from results of jobs. No document itself: Beanie would give it a collection."""

    name: str
    principal: str
    created_at: datetime
    updated_at: datetime
    """When `latest` was made."""
    latest: str
    deleted_at: datetime | None = None
    forgotten_at: datetime | None = None
    """When it was last deleted: what was made until then does not come back."""
