"""Operations on the `notifications` collection: what a person finds in the application.

Redis wakes whoever watches an inbox live, by the way in which it wakes those who wait for a job. Without it they look
now and then.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.database import Database
from storage.documents import NotificationDocument, Told
from storage.settings import StorageSettings
from storage.shelves import reading


def inbox_of(principal: str) -> str:
    """What `FeedReader.listening` is asked with: no job is called so."""
    return f"inbox-{hashlib.sha256(principal.encode()).hexdigest()[:32]}"


class Bell:
    """Rung when something has been put into an inbox."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def ring(self, principal: str) -> None:
        with suppress(RedisError, OSError):
            await self._redis.publish(f"mr:job:{inbox_of(principal)}", "1")


@asynccontextmanager
async def open_bell(settings: StorageSettings) -> AsyncIterator[Bell]:
    redis = Redis.from_url(settings.redis_url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        yield Bell(redis)
    finally:
        await redis.aclose()


async def put(database: Database, told: Told) -> None:
    """Once, however often it is put. Raises StoreUnavailable."""
    with reading():
        await _inbox(database).update_one(
            {"_id": told.id}, {"$setOnInsert": told.model_dump(exclude={"id"})}, upsert=True
        )


async def page(
    database: Database, principal: str, limit: int, after: tuple[datetime, str] | None, *, unread: bool
) -> list[Told]:
    """Newest first, from behind `after` = (created_at, id). Raises StoreUnavailable."""
    query: dict[str, Any] = {"principal": principal} | ({"read_at": None} if unread else {})
    if after is not None:
        at, told = after
        query["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": told}}]
    with reading():
        rows = await _inbox(database).find(query).sort([("created_at", -1), ("_id", -1)]).to_list(limit)
    return [Told.model_validate(row) for row in rows]


async def since(database: Database, principal: str, at: datetime, limit: int) -> list[Told]:
    """From that time on, oldest first. Raises StoreUnavailable."""
    query = {"principal": principal, "created_at": {"$gte": at}}
    with reading():
        rows = await _inbox(database).find(query).sort([("created_at", 1), ("_id", 1)]).to_list(limit)
    return [Told.model_validate(row) for row in rows]


async def unread(database: Database, principal: str) -> int:
    """Raises StoreUnavailable."""
    with reading():
        count: int = await _inbox(database).count_documents({"principal": principal, "read_at": None})
    return count


async def read(database: Database, principal: str, ids: Sequence[str] | None, at: datetime) -> None:
    """These, or all for None. Raises StoreUnavailable."""
    query: dict[str, Any] = {"principal": principal, "read_at": None}
    if ids is not None:
        query["_id"] = {"$in": list(ids)}
    with reading():
        await _inbox(database).update_many(query, {"$set": {"read_at": at}})


def _inbox(database: Database) -> Any:
    return database[NotificationDocument.Settings.name]
