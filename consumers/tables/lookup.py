"""Which table a job means."""

import asyncio
from typing import Any

from consumers.runtime.verdicts import Reject, RetryLater
from producers.catalog import dataset_id_of
from schemas.jobs.dataset_ingest import DatasetIngested
from storage import datasets
from storage.database import StoreUnavailable, connect
from storage.settings import StorageSettings


def owned_version(principal: str, dataset_id: str, version: str, *, pointer: str) -> DatasetIngested:
    """A version of a dataset, for its owner: a dataset's id follows from who owns it. `pointer` is the parameter that
    names the version. Raises Reject: there is none, or it is somebody else's. Raises RetryLater."""
    found = _looked_up(dataset_id, version)
    if found is None or dataset_id_of(principal, str(found["name"])) != dataset_id:
        detail = f"{pointer}: dataset {dataset_id} has no version {version}"
        raise Reject(detail, type="not-found", title="There is no such version")
    return DatasetIngested.model_validate(found)


def _looked_up(dataset_id: str, version: str) -> dict[str, Any] | None:
    async def look() -> dict[str, Any] | None:
        async with connect(StorageSettings()) as database:
            return await datasets.version(database, dataset_id, version)

    try:
        return asyncio.run(look())
    except StoreUnavailable as error:
        raise RetryLater(str(error)) from error
