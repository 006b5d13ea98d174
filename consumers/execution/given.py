"""Files that a job gives to its program: each must be the owner's own."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from consumers.runtime.pool import Services
from consumers.runtime.verdicts import Reject, RetryLater
from producers.catalog import dataset_id_of
from schemas.code import Produced
from schemas.files import StoredFile
from schemas.jobs.code_run import CODE_RUN, GivenFile
from schemas.jobs.dataset_ingest import DatasetIngested
from storage import census, datasets
from storage.blob_writers import blob_path
from storage.blobs import BlobMissing
from storage.database import StoreUnavailable


async def given_files(
    given: Mapping[str, GivenFile], principal: str, folder: Path, services: Services
) -> dict[str, Path]:
    """By the path at which the program shall find each; in `folder` where they are no files yet. Raises Reject,
    RetryLater, BlobUnavailable."""
    found: dict[str, Path] = {}
    for number, (name, each) in enumerate(given.items()):
        if each.content is not None:
            found[name] = folder / str(number)
            await asyncio.to_thread(found[name].write_bytes, each.content)
            continue
        pointer = f"/params/files/{name.replace('/', '~1')}"
        try:
            stored = await _stored(each, principal, pointer, services)
            found[name] = await services.outbox.blobs.file(blob_path(stored.sha256), stored.sha256, folder)
        except BlobMissing as error:
            raise Reject(f"{pointer}: {error}", type="bytes-missing", title="The file is not here") from None
        except StoreUnavailable as error:
            raise RetryLater(str(error)) from error
    return found


async def _stored(each: GivenFile, principal: str, pointer: str, services: Services) -> StoredFile:
    """Raises Reject, StoreUnavailable."""
    stored = None
    if each.dataset_id is not None and each.version is not None:
        made = await datasets.version(services.database, each.dataset_id, each.version)
        # A dataset's id follows from its owner.
        if made is not None and dataset_id_of(principal, str(made["name"])) == each.dataset_id:
            stored = DatasetIngested.model_validate(made).table
    elif each.job_id is not None:
        async for job in census.succeeded(services.database, [CODE_RUN.name], [each.job_id]):
            left = (Produced.model_validate(item) for item in (job.result or {}).get("artifacts", ()))
            if job.principal == principal:
                stored = next((item.file for item in left if item.name == each.artifact), None)
    if stored is None:
        what = f"dataset {each.dataset_id} has no version {each.version}"
        if each.job_id is not None:
            what = f"job {each.job_id} has left no {each.artifact!r}, or has not ended yet"
        raise Reject(f"{pointer}: {what}", type="not-found", title="There is no such file")
    return stored
