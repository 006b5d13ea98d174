"""The connection to MongoDB, or to what speaks its protocol."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from beanie import init_beanie
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from storage.documents import DOCUMENTS
from storage.settings import StorageSettings

Database = AsyncDatabase[dict[str, object]]

T = TypeVar("T")

_DEFAULT_DATABASE = "millrace"


class StoreUnavailable(Exception):
    """MongoDB does not answer, or not in time."""


async def apply(url: str) -> None:
    """Create every collection and index, before anybody else connects: the embedded store livelocks when several
    processes create one collection at once. Idempotent."""
    async with AsyncMongoClient[dict[str, object]](url, tz_aware=True) as client:
        database = client.get_default_database(_DEFAULT_DATABASE)
        present = await database.list_collection_names()
        for document in DOCUMENTS:
            if document.Settings.name not in present:
                await database.create_collection(document.Settings.name)
        await init_beanie(database, document_models=list(DOCUMENTS))


@asynccontextmanager
async def connect(settings: StorageSettings, absent_after_s: float | None = None) -> AsyncIterator[Database]:
    """The database for those who can wait for it: connects when it is first used, and every operation gives up after
    `timeout_s`; with `absent_after_s`, sooner while there is no server to talk to."""
    timeout_ms = int(settings.timeout_s * 1000)
    limits: dict[str, Any] = {"serverSelectionTimeoutMS": timeout_ms, "timeoutMS": timeout_ms}
    if absent_after_s is not None:  # `timeoutMS` would be the limit for finding a server as well
        limits = {"serverSelectionTimeoutMS": int(absent_after_s * 1000), "socketTimeoutMS": timeout_ms}
    async with AsyncMongoClient[dict[str, object]](
        settings.mongodb_url, tz_aware=True, connectTimeoutMS=timeout_ms, **limits
    ) as client:
        yield client.get_default_database(_DEFAULT_DATABASE)


@asynccontextmanager
async def open_database(settings: StorageSettings, absent_after_s: float | None = None) -> AsyncIterator[Database]:
    """The database with its documents. Declares nothing: `apply` did. Raises StoreUnavailable."""
    async with connect(settings, absent_after_s) as database:
        try:
            await init_beanie(database, document_models=list(DOCUMENTS), skip_indexes=True)
        except PyMongoError as error:
            raise StoreUnavailable(f"cannot reach MongoDB: {error}") from error
        yield database


def unhurried(question: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """An operation that nobody cancels, only stops waiting for: the driver's own limits end it. PyMongo 4.20,
    cancelled while it waits for a server, releases a lock that it does not hold, and others may wait for ever."""
    task = asyncio.create_task(question)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # whether or not anybody waits
    return task


async def within(seconds: float, question: Coroutine[Any, Any, T]) -> T:
    """The answer of an operation on the store, if it comes in time. Raises StoreUnavailable."""
    asked = unhurried(question)
    await asyncio.wait({asked}, timeout=seconds)
    if not asked.done():
        raise StoreUnavailable("the store does not answer")
    return asked.result()


async def ping(database: Database) -> None:
    """A real read, since a hung server still accepts connections. Raises StoreUnavailable."""
    try:
        await database["jobs"].find_one({"_id": ""})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
