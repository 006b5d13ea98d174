"""The connection to MongoDB, or to what speaks its protocol."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from beanie import init_beanie
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from storage.documents import DOCUMENTS
from storage.settings import StorageSettings

Database = AsyncDatabase[dict[str, object]]

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
async def open_database(settings: StorageSettings) -> AsyncIterator[Database]:
    """Connect; every operation gives up after `timeout_s`. Declares nothing: `apply` did. Raises StoreUnavailable."""
    timeout_ms = int(settings.timeout_s * 1000)
    async with AsyncMongoClient[dict[str, object]](
        settings.mongodb_url,
        tz_aware=True,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        timeoutMS=timeout_ms,
    ) as client:
        database = client.get_default_database(_DEFAULT_DATABASE)
        try:
            await init_beanie(database, document_models=list(DOCUMENTS), skip_indexes=True)
        except PyMongoError as error:
            raise StoreUnavailable(f"cannot reach MongoDB: {error}") from error
        yield database


async def ping(database: Database) -> None:
    """A real read, since a hung server still accepts connections. Raises StoreUnavailable."""
    try:
        await database["jobs"].find_one({"_id": ""})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
