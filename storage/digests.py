"""Operations on what waits for a digest: lines of mails that people get together."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Due:
    """What one person is to be sent."""

    principal: str
    until: datetime
    first: str
    """The oldest of the lines."""


async def due(database: Database, now: datetime) -> list[Due]:
    """Whose lines are to go out and are in no job's hands. Raises StoreUnavailable."""
    found: dict[str, Due] = {}
    with reading():
        query = {"job": None, "due_at": {"$lte": now}}
        async for row in _held(database).find(query, {"principal": 1, "due_at": 1}).sort([("due_at", 1), ("_id", 1)]):
            before = found.get(row["principal"])
            found[row["principal"]] = Due(row["principal"], row["due_at"], before.first if before else row["_id"])
    return list(found.values())


async def take(database: Database, principal: str, until: datetime, job_id: str) -> list[Held]:
    """The lines that are this job's to send, and from now on no other's; oldest first. Raises StoreUnavailable."""
    with reading():
        query = {"principal": principal, "due_at": {"$lte": until}, "job": None}
        await _held(database).update_many(query, {"$set": {"job": job_id}})
        rows = await _held(database).find({"job": job_id}).sort([("held_at", 1), ("_id", 1)]).to_list()
    return [Held.model_validate(row) for row in rows]


async def release(database: Database, ids: list[str]) -> None:
    """They were sent. Raises StoreUnavailable."""
    with reading():
        await _held(database).delete_many({"_id": {"$in": ids}})


def _held(database: Database) -> Any:
    return database[HeldDocument.Settings.name]
