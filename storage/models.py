"""Operations on the registry of models. Versions follow from results of jobs, so adding twice changes nothing."""

from typing import Any

from pymongo.errors import PyMongoError

from storage.database import Database, StoreUnavailable
from storage.model_documents import ModelDocument, ModelVersionDocument


async def version(database: Database, model_id: str, version: str) -> dict[str, Any] | None:
    """The document of a version: `principal`, `number`, and as `trained` the result of its job. Past Beanie, so that
    a worker need not prepare documents first. Raises StoreUnavailable."""
    return await _one(database, ModelVersionDocument.Settings.name, {"_id": f"{model_id}.{version}"})


async def named(database: Database, principal: str, name: str, wanted: str | None) -> dict[str, Any] | None:
    """The document of the version that an alias, a version or its number means; the `champion` for None, else the
    latest. Raises StoreUnavailable."""
    model = await _one(
        database, ModelDocument.Settings.name, {"principal": principal, "name": name, "deleted_at": None}
    )
    if model is None:
        return None
    aliases: dict[str, str] = model["aliases"]
    chosen = aliases.get("champion", model["latest"]) if wanted is None else aliases.get(wanted, wanted)
    found = await version(database, model["_id"], chosen)
    if found is None and chosen.isdigit():
        found = await _one(
            database, ModelVersionDocument.Settings.name, {"model_id": model["_id"], "number": int(chosen)}
        )
    return found


async def _one(database: Database, collection: str, query: dict[str, Any]) -> dict[str, Any] | None:
    try:
        found = await database[collection].find_one(query)
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return None if found is None else dict(found)
