"""Operations on the `webhooks` collection: endpoints, their secrets, and whether anybody is there."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from storage.database import Database
from storage.documents import Endpoint, WebhookDocument
from storage.shelves import reading


async def add(database: Database, made: Endpoint) -> Endpoint:
    """What stands under its id: `made`, or what was there before. Raises StoreUnavailable."""
    with reading():
        try:
            await _webhooks(database).insert_one(made.model_dump(by_alias=True))
        except DuplicateKeyError:
            return await find(database, made.id) or made
    return made


async def find(database: Database, webhook: str) -> Endpoint | None:
    """Raises StoreUnavailable."""
    with reading():
        found = await _webhooks(database).find_one({"_id": webhook})
    return None if found is None else Endpoint.model_validate(found)


async def of(database: Database, principals: Sequence[str]) -> list[Endpoint]:
    """Newest first. Raises StoreUnavailable."""
    with reading():
        query = {"principal": {"$in": list(principals)}}
        rows = await _webhooks(database).find(query).sort([("created_at", -1), ("_id", -1)]).to_list()
    return [Endpoint.model_validate(row) for row in rows]


async def change(database: Database, webhook: str, changes: Mapping[str, Any]) -> None:
    """Raises StoreUnavailable."""
    with reading():
        await _webhooks(database).update_one({"_id": webhook}, {"$set": dict(changes)})


async def remove(database: Database, webhook: str) -> None:
    """Raises StoreUnavailable."""
    with reading():
        await _webhooks(database).delete_one({"_id": webhook})


async def answered(database: Database, webhook: str) -> None:
    """A delivery came through. Raises StoreUnavailable."""
    with reading():
        await _webhooks(database).update_one({"_id": webhook}, {"$set": {"failing_since": None}})


async def failed(database: Database, webhook: str, at: datetime) -> None:
    """None came through since then, unless it is known to be longer. Raises StoreUnavailable."""
    with reading():
        await _webhooks(database).update_one({"_id": webhook, "failing_since": None}, {"$set": {"failing_since": at}})


async def disable(database: Database, webhook: str, because: str) -> bool:
    """False when it was disabled already: of several who notice, one tells. Raises StoreUnavailable."""
    with reading():
        done = await _webhooks(database).update_one(
            {"_id": webhook, "enabled": True}, {"$set": {"enabled": False, "disabled_because": because}}
        )
    return bool(done.modified_count)


async def topics(database: Database) -> set[str]:
    """All that any endpoint asks for. Raises StoreUnavailable."""
    with reading():
        rows = await _webhooks(database).find({}, {"topics": 1}).to_list()
    return {topic for row in rows for topic in row["topics"]}


def _webhooks(database: Database) -> Any:
    return database[WebhookDocument.Settings.name]
