"""Operations on the catalog of datasets: names, versions and profiles. Everything in it follows from results of jobs,
so adding twice changes nothing."""

from datetime import datetime
from typing import Any

from storage.database import Database
from storage.documents import DatasetDocument, DatasetVersionDocument, ProfileDocument
from storage.shelves import Shelf, reading, writing

DATASETS = Shelf(DatasetDocument, DatasetVersionDocument, key="dataset_id")


async def add_version(
    database: Database, ingested: dict[str, Any], *, job_id: str, principal: str, at: datetime
) -> None:
    """Raises Unfit, StoreUnavailable."""
    fields = {"job_id": job_id, "ingested": ingested}
    await DATASETS.add(database, ingested, fields, principal=principal, at=at)


async def add_profile(database: Database, profiled: dict[str, Any], *, job_id: str, at: datetime) -> None:
    """Raises Unfit, StoreUnavailable."""
    names = ("dataset_id", "version")
    fields = {name: profiled[name] for name in names} | {"schema_version": 1, "job_id": job_id, "created_at": at}
    with writing():
        await database[ProfileDocument.Settings.name].update_one(
            {"_id": profiled["profile_id"]}, {"$set": fields | {"profiled": profiled}}, upsert=True
        )


async def version(database: Database, dataset_id: str, version: str) -> dict[str, Any] | None:
    """What its ingestion made. Past Beanie, so that a child process need not prepare documents first. Raises
    StoreUnavailable."""
    collection: Any = database[DatasetVersionDocument.Settings.name]
    with reading():
        found = await collection.find_one({"_id": f"{dataset_id}.{version}"})
    return found and dict(found["ingested"])


async def profile(profile_id: str) -> ProfileDocument | None:
    """Raises StoreUnavailable."""
    with reading():
        return await ProfileDocument.get(profile_id)


async def profiles(dataset_id: str) -> list[ProfileDocument]:
    """Newest first. Raises StoreUnavailable."""
    with reading():
        return await ProfileDocument.find({"dataset_id": dataset_id}).sort("-created_at").to_list()


async def delete(database: Database, dataset_id: str, at: datetime) -> None:
    """With its versions and profiles. Raises StoreUnavailable."""
    await DATASETS.delete(database, dataset_id, at)
    with reading():
        await database[ProfileDocument.Settings.name].delete_many({"dataset_id": dataset_id})
