"""Operations on the request log: what models were asked. An entry's id is its job's, so adding twice changes
nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import BulkWriteError

from storage.database import Database
from storage.documents import PredictionDocument
from storage.shelves import reading, writing

_DUPLICATE_KEY = 11000


async def add(database: Database, entries: Sequence[PredictionDocument]) -> None:
    """Raises Unfit, StoreUnavailable; then some may be there, and all may be added again."""
    rows = [{"_id": entry.id, **entry.model_dump(exclude={"id", "revision_id"})} for entry in entries]
    if not rows:
        return
    with writing():
        try:
            await _predictions(database).insert_many(rows, ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(item["code"] != _DUPLICATE_KEY for item in failed):
                raise


async def page(
    model_id: str,
    version: str | None,
    limit: int,
    after: tuple[datetime, str] | None = None,
    since: datetime | None = None,
) -> list[PredictionDocument]:
    """Newest first, of all versions for None, from behind `after` = (at, id). Raises StoreUnavailable."""
    query: dict[str, Any] = {"model_id": model_id}
    if version is not None:
        query["version"] = version
    if since is not None:
        query["at"] = {"$gte": since}
    if after is not None:
        at, job_id = after
        query["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": job_id}}]
    with reading():
        return await PredictionDocument.find(query).sort("-at", "-_id").limit(limit).to_list()


def _predictions(database: Database) -> Any:
    return database[PredictionDocument.Settings.name]
