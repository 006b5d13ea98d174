"""Operations on the delivery log. An entry's id is that of the job that delivers, so that it is one entry however
often the job runs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.jobs.notification_send import DeliveryState
from storage.database import Database
from storage.documents import DeliveryDocument, Entry
from storage.shelves import reading

_MOST_ATTEMPTS = 20  # of a replayed delivery; an entry shall not grow for ever


async def find(database: Database, entry: str) -> Entry | None:
    """Raises StoreUnavailable."""
    with reading():
        found = await _deliveries(database).find_one({"_id": entry})
    return None if found is None else Entry.model_validate(found)


async def record(
    database: Database,
    entry: Entry,
    attempt: Mapping[str, Any],
    request: Mapping[str, Any] | None,
    state: DeliveryState,
) -> None:
    """How an attempt came out. What was delivered stays so. Raises StoreUnavailable."""
    born = entry.model_dump(exclude={"id", "attempts", "request", "state"})
    changes: dict[str, Any] = {
        "$setOnInsert": born,
        "$push": {"attempts": {"$each": [dict(attempt)], "$slice": -_MOST_ATTEMPTS}},
        "$set": {"state": state, "request": request and dict(request)},
    }
    with reading():
        await _deliveries(database).update_one({"_id": entry.id}, changes, upsert=True)


async def settled(database: Database, entries: list[str], state: DeliveryState, attempt: Mapping[str, Any]) -> None:
    """Entries that were held, and went out together. Raises StoreUnavailable."""
    with reading():
        await _deliveries(database).update_many(
            {"_id": {"$in": entries}}, {"$set": {"state": state}, "$push": {"attempts": dict(attempt)}}
        )


async def page(
    database: Database, target: str, limit: int, after: tuple[datetime, str] | None, state: DeliveryState | None
) -> list[Entry]:
    """Newest first, from behind `after` = (created_at, id). Raises StoreUnavailable."""
    query: dict[str, Any] = {"target": target}
    if state is not None:
        query["state"] = state
    if after is not None:
        at, entry = after
        query["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": entry}}]
    with reading():
        newest = _deliveries(database).find(query).sort([("created_at", -1), ("_id", -1)])
        return [Entry.model_validate(row) for row in await newest.to_list(limit)]


async def to_recover(database: Database, target: str, since: datetime, limit: int) -> list[Entry]:
    """What failed since then and was not sent again, oldest first. Raises StoreUnavailable."""
    query = {"target": target, "created_at": {"$gte": since}, "state": DeliveryState.FAILED, "resent_by": None}
    with reading():
        rows = await _deliveries(database).find(query).sort([("created_at", 1), ("_id", 1)]).to_list(limit)
    return [Entry.model_validate(row) for row in rows]


async def resent(database: Database, entry: str, by: str) -> None:
    """Raises StoreUnavailable."""
    with reading():
        await _deliveries(database).update_one({"_id": entry}, {"$set": {"resent_by": by}})


def _deliveries(database: Database) -> Any:
    return database[DeliveryDocument.Settings.name]
