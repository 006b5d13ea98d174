"""Operations on the catalog of datasets: names, versions and profiles. Everything in it follows from results of jobs,
so adding twice changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from storage.database import Database, StoreUnavailable
from storage.documents import DatasetDocument, DatasetVersionDocument, ProfileDocument
from storage.jobs import NO_BSON, UNFIT


class Unfit(ValueError):
    """The store can never take this: it is too large, or holds what no document can."""


async def add_version(
    database: Database, ingested: dict[str, Any], *, job_id: str, principal: str, at: datetime
) -> None:
    """Raises Unfit, StoreUnavailable."""
    dataset_id, version = ingested["dataset_id"], ingested["version"]
    fields = {"schema_version": 1, "dataset_id": dataset_id, "version": version, "job_id": job_id, "created_at": at}
    born = {"name": ingested["name"], "principal": principal, "created_at": at, "schema_version": 1}
    datasets: Any = database[DatasetDocument.Settings.name]
    with _writing():
        if await datasets.find_one({"_id": dataset_id, "deleted_at": {"$ne": None}, "updated_at": {"$gte": at}}):
            return  # it was deleted since
        await _number(database, {"_id": f"{dataset_id}.{version}", **fields, "ingested": ingested})
        await datasets.update_one({"_id": dataset_id}, {"$setOnInsert": born | _newest(version, at)}, upsert=True)
        await datasets.update_one({"_id": dataset_id, "updated_at": {"$lt": at}}, {"$set": _newest(version, at)})


async def add_profile(database: Database, profiled: dict[str, Any], *, job_id: str, at: datetime) -> None:
    """Raises Unfit, StoreUnavailable."""
    names = ("dataset_id", "version")
    fields = {name: profiled[name] for name in names} | {"schema_version": 1, "job_id": job_id, "created_at": at}
    with _writing():
        await database[ProfileDocument.Settings.name].update_one(
            {"_id": profiled["profile_id"]}, {"$set": fields | {"profiled": profiled}}, upsert=True
        )


async def find(dataset: str, principal: str) -> DatasetDocument | None:
    """By id or by name. Raises StoreUnavailable."""
    try:
        found = await DatasetDocument.get(dataset)
        if found is None:
            found = await DatasetDocument.find_one({"name": dataset, "principal": principal})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return found if found is not None and found.deleted_at is None else None


async def page(principal: str, limit: int, after: tuple[datetime, str] | None) -> list[DatasetDocument]:
    """Last changed first. Raises StoreUnavailable."""
    query: dict[str, Any] = {"principal": principal, "deleted_at": None}
    if after is not None:
        changed_at, dataset_id = after
        query["$or"] = [{"updated_at": {"$lt": changed_at}}, {"updated_at": changed_at, "_id": {"$lt": dataset_id}}]
    try:
        return await DatasetDocument.find(query).sort("-updated_at", "-_id").limit(limit).to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def versions(dataset_id: str) -> list[DatasetVersionDocument]:
    """Newest first. Raises StoreUnavailable."""
    try:
        return await DatasetVersionDocument.find({"dataset_id": dataset_id}).sort("-number").to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def version(database: Database, dataset_id: str, version: str) -> dict[str, Any] | None:
    """What its ingestion made. Past Beanie, so that a child process need not prepare documents first. Raises
    StoreUnavailable."""
    try:
        collection: Any = database[DatasetVersionDocument.Settings.name]
        found = await collection.find_one({"_id": f"{dataset_id}.{version}"})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return found and dict(found["ingested"])


async def profile(profile_id: str) -> ProfileDocument | None:
    """Raises StoreUnavailable."""
    try:
        return await ProfileDocument.get(profile_id)
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def profiles(dataset_id: str) -> list[ProfileDocument]:
    """Newest first. Raises StoreUnavailable."""
    try:
        return await ProfileDocument.find({"dataset_id": dataset_id}).sort("-created_at").to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def delete(database: Database, dataset_id: str, at: datetime) -> bool:
    """Whether there was one. Raises StoreUnavailable."""
    try:
        done = await database[DatasetDocument.Settings.name].update_one(
            {"_id": dataset_id, "deleted_at": None}, {"$set": {"deleted_at": at, "updated_at": at}}
        )
        await database[DatasetVersionDocument.Settings.name].delete_many({"dataset_id": dataset_id})
        await database[ProfileDocument.Settings.name].delete_many({"dataset_id": dataset_id})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return bool(done.modified_count)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except NO_BSON as error:
        raise Unfit(str(error)) from error
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code in UNFIT:
            raise Unfit(str(error)) from error
        raise StoreUnavailable(str(error)) from error


def _newest(version: str, at: datetime) -> dict[str, Any]:
    return {"latest": version, "updated_at": at, "deleted_at": None}


async def _number(database: Database, document: dict[str, Any]) -> None:
    """Insert a version that is not there yet, under the next number of its dataset."""
    collection: Any = database[DatasetVersionDocument.Settings.name]
    while await collection.find_one({"_id": document["_id"]}, {"_id": 1}) is None:
        last = await collection.find_one({"dataset_id": document["dataset_id"]}, sort=[("number", -1)])
        try:
            await collection.insert_one({**document, "number": 1 + int(last["number"] if last else 0)})
        except DuplicateKeyError:  # another ledger took the number, or was here with the same version
            continue
