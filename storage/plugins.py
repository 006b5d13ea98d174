"""Operations on the `plugins` collection: what the training workers have found, as they last announced it.

Past Beanie, so that a worker need not prepare documents first.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ReplaceOne
from pymongo.errors import PyMongoError

from schemas.plugins import PluginDescription
from storage.database import Database, StoreUnavailable
from storage.documents import PluginDocument


async def announce(database: Database, found: Sequence[PluginDescription]) -> None:
    """What nobody announces for a day is forgotten. Raises StoreUnavailable."""
    now = datetime.now(UTC)
    writes = [ReplaceOne({"_id": _id(each)}, _document(each, now), upsert=True) for each in found]
    if not writes:
        return
    try:
        await _plugins(database).bulk_write(writes, ordered=False)
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def announced(database: Database) -> list[PluginDescription]:
    """By kind and name. Raises StoreUnavailable."""
    try:
        rows = await _plugins(database).find({}).to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return [PluginDescription.model_validate_json(row["description"]) for row in sorted(rows, key=lambda r: r["_id"])]


def _document(each: PluginDescription, now: datetime) -> dict[str, Any]:
    # As text: a JSON Schema has names like `$ref`, which a document must not have.
    return {"_id": _id(each), "schema_version": 1, "announced_at": now, "description": each.model_dump_json()}


def _id(each: PluginDescription) -> str:
    return f"{each.kind.value}.{each.name}"


def _plugins(database: Database) -> Any:
    return database[PluginDocument.Settings.name]
