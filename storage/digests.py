"""Operations on what waits for a digest: lines of mails that people get together."""

from datetime import datetime
from typing import Any

from storage.database import Database
from storage.documents import Held, HeldDocument
from storage.shelves import reading


async def hold(database: Database, line: Held) -> None:
    """Once, however often it is held. Raises StoreUnavailable."""
    with reading():
        await _held(database).update_one(
            {"_id": line.id}, {"$setOnInsert": line.model_dump(exclude={"id"})}, upsert=True
        )


async def due(database: Database, now: datetime) -> dict[str, datetime]:
    """Whose digest is to go out, and up to which due time. Raises StoreUnavailable."""
    found: dict[str, datetime] = {}
    with reading():
        async for row in _held(database).find({"due_at": {"$lte": now}}, {"principal": 1, "due_at": 1}):
            found[row["principal"]] = max(row["due_at"], found.get(row["principal"], row["due_at"]))
    return found


async def lines(database: Database, principal: str, until: datetime) -> list[Held]:
    """Oldest first. Raises StoreUnavailable."""
    query = {"principal": principal, "due_at": {"$lte": until}}
    with reading():
        rows = await _held(database).find(query).sort("held_at", 1).to_list()
    return [Held.model_validate(row) for row in rows]


async def release(database: Database, ids: list[str]) -> None:
    """They were sent. Raises StoreUnavailable."""
    with reading():
        await _held(database).delete_many({"_id": {"$in": ids}})


def _held(database: Database) -> Any:
    return database[HeldDocument.Settings.name]
