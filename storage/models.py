"""Operations on the registry of models. Versions follow from results of jobs, so adding twice changes nothing;
aliases, archiving and deleting are what people decide."""

from datetime import datetime
from typing import Any

from schemas.learning import CHAMPION, LATEST
from storage.database import Database
from storage.documents import ModelDocument, ModelVersionDocument, PredictionDocument
from storage.shelves import Shelf, reading

MODELS = Shelf(ModelDocument, ModelVersionDocument, key="model_id")


async def add_version(
    database: Database, trained: dict[str, Any], *, job_id: str, principal: str, at: datetime
) -> None:
    """Raises Unfit, StoreUnavailable."""
    fields = {"job_id": job_id, "principal": principal, "archived_at": None, "deleted_at": None, "trained": trained}
    await MODELS.add(database, trained, fields, principal=principal, at=at, born={"aliases": {}})


async def pointers(database: Database, model_id: str) -> dict[str, Any] | None:
    """What is needed to tell which version is meant: `principal`, `aliases`, `latest`. Past Beanie, which takes as
    long as the read, since every prediction asks. Raises StoreUnavailable."""
    wanted = dict.fromkeys(("principal", "aliases", "latest"), 1)
    with reading():
        found: dict[str, Any] | None = await _models(database).find_one({"_id": model_id, "deleted_at": None}, wanted)
    return found


async def version(database: Database, model_id: str, version: str) -> dict[str, Any] | None:
    """The document of a version: `principal`, `number`, and as `trained` the result of its job. Past Beanie, so that
    a worker need not prepare documents first. Raises StoreUnavailable."""
    return await _one(database, ModelVersionDocument, {"_id": f"{model_id}.{version}", "deleted_at": None})


async def named(database: Database, principal: str, name: str, wanted: str | None) -> dict[str, Any] | None:
    """The document of the version that an alias, a version or its number means; the `champion` for None, else the
    latest. Raises StoreUnavailable."""
    model = await _one(database, ModelDocument, {"principal": principal, "name": name, "deleted_at": None})
    if model is None:
        return None
    chosen = meant(model["aliases"], model["latest"], wanted)
    found = await version(database, model["_id"], chosen)
    if found is None and chosen.isdigit():
        query = {"model_id": model["_id"], "number": int(chosen), "deleted_at": None}
        found = await _one(database, ModelVersionDocument, query)
    return found


def meant(aliases: dict[str, str], latest: str, wanted: str | None) -> str:
    """What stands for a version in a question: the version behind an alias or `latest`, else what was given, which
    is a version or its number. Without anything, the champion, else the latest."""
    if wanted is None:
        return aliases.get(CHAMPION, latest)
    return latest if wanted == LATEST else aliases.get(wanted, wanted)


async def move_alias(database: Database, model_id: str, alias: str, before: str | None, version: str | None) -> bool:
    """From the version `before` to another; None is no version. False when it did not stand at `before` any more.
    Raises StoreUnavailable."""
    field = f"aliases.{alias}"
    guard = {"_id": model_id, "deleted_at": None, field: {"$exists": False} if before is None else before}
    change = {"$unset": {field: ""}} if version is None else {"$set": {field: version}}
    with reading():
        done = await _models(database).update_one(guard, change)
    return bool(done.matched_count)


async def archive(database: Database, model_id: str, version: str, at: datetime | None) -> None:
    """None takes it out of the archive. What is as it shall be already stays so. Raises StoreUnavailable."""
    otherwise = {"$ne": None} if at is None else None
    with reading():
        await _versions(database).update_one(
            {"_id": f"{model_id}.{version}", "deleted_at": None, "archived_at": otherwise},
            {"$set": {"archived_at": at}},
        )
    await _find_latest(database, model_id)


async def delete_version(database: Database, model_id: str, version: str, at: datetime) -> None:
    """Its number is not given again. With the last of its versions a model is gone. Raises StoreUnavailable."""
    with reading():
        await _versions(database).update_one(
            {"_id": f"{model_id}.{version}", "deleted_at": None}, {"$set": {"deleted_at": at, "trained": {}}}
        )
    if not await _find_latest(database, model_id):
        await delete(database, model_id, at)


async def delete(database: Database, model_id: str, at: datetime) -> None:
    """With its versions, aliases and request log. Raises StoreUnavailable."""
    await MODELS.delete(database, model_id, at)
    with reading():
        await _models(database).update_one({"_id": model_id, "deleted_at": at}, {"$set": {"aliases": {}}})
        await database[PredictionDocument.Settings.name].delete_many({"model_id": model_id})


async def forget_until(database: Database, model_id: str, at: datetime) -> None:
    """As if the model had been deleted at that time, unless it is known to have been. Raises StoreUnavailable."""
    with reading():
        await database[PredictionDocument.Settings.name].delete_many({"model_id": model_id, "at": {"$lte": at}})
        await _versions(database).delete_many({"model_id": model_id, "created_at": {"$lte": at}})
        await _models(database).update_one(
            {"_id": model_id, "forgotten_at": {"$not": {"$gte": at}}}, {"$set": {"forgotten_at": at}}
        )
    if not await _find_latest(database, model_id):
        await delete(database, model_id, at)


async def _find_latest(database: Database, model_id: str) -> bool:
    """Let `latest` be the newest version that is not archived, if there is one; else the newest. False when there is
    none. Only if nothing was added meanwhile, which is newer than what we saw."""
    with reading():
        model = await _models(database).find_one({"_id": model_id})
        left = await _versions(database).find({"model_id": model_id, "deleted_at": None}).sort("number", -1).to_list()
        if model is None or not left:
            return False
        newest = next((each for each in left if each["archived_at"] is None), left[0])
        await _models(database).update_one(
            {"_id": model_id, "updated_at": model["updated_at"]}, {"$set": {"latest": newest["version"]}}
        )
    return True


async def _one(
    database: Database, document: type[ModelDocument] | type[ModelVersionDocument], query: dict[str, Any]
) -> dict[str, Any] | None:
    with reading():
        found = await database[document.Settings.name].find_one(query)
    return None if found is None else dict(found)


def _models(database: Database) -> Any:
    return database[ModelDocument.Settings.name]


def _versions(database: Database) -> Any:
    return database[ModelVersionDocument.Settings.name]
