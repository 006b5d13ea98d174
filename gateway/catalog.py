"""Datasets: found by what a client calls them, shown as resources."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.problems import ProblemError
from producers.catalog import dataset_id_of
from schemas.catalog import Dataset, DatasetLinks, DatasetSummary, DatasetVersion
from schemas.jobs.dataset_ingest import DatasetIngested
from storage.datasets import DATASETS
from storage.documents import DatasetDocument, DatasetVersionDocument

Reference = Annotated[str, Path(description="The id of a dataset, or its name")]
VersionQuery = Annotated[str | None, Query(description="A version or its number; the latest when left out")]


def summary(document: DatasetDocument) -> DatasetSummary:
    return DatasetSummary.model_validate(_common(document, rejects=False))


def describe(document: DatasetDocument, version: DatasetVersionDocument) -> Dataset:
    found = described(version)
    return Dataset.model_validate({**_common(document, rejects=bool(found.rejected)), "version": found})


def described(document: DatasetVersionDocument) -> DatasetVersion:
    ingested = ingested_of(document)
    return DatasetVersion(
        version=document.version,
        number=document.number,
        created_at=document.created_at,
        job_id=document.job_id,
        rows=ingested.rows,
        columns=ingested.column_types,
        sha256=ingested.sha256,
        table_bytes=ingested.table.bytes,
        rejected=ingested.rejected,
        reading=ingested.reading,
        warnings=ingested.warnings,
    )


def ingested_of(document: DatasetVersionDocument) -> DatasetIngested:
    return DatasetIngested.model_validate(document.ingested)


def version_of(listed: Sequence[DatasetVersionDocument], asked: str) -> DatasetVersionDocument | None:
    """By version, or by its number."""
    return next((item for item in listed if asked in (item.version, str(item.number))), None)


def _common(document: DatasetDocument, *, rejects: bool) -> dict[str, Any]:
    at = f"/v1/datasets/{document.id}"
    names = ("versions", "preview", "table", "profile")
    links = {name: f"{at}/{name}" for name in names} | {"self": at, "report": f"{at}/profile.html"}
    if rejects:
        links["rejects"] = f"{at}/rejects"
    fields = ("id", "name", "principal", "created_at", "updated_at", "latest")
    return {name: getattr(document, name) for name in fields} | {"links": DatasetLinks(**links)}


async def find_dataset(parts: Parts, principal: str, dataset: str) -> DatasetDocument:
    """By id or name. Raises ProblemError, StoreUnavailable."""
    found = await parts.store.reading(DATASETS.find(dataset))
    if found is None:
        found = await parts.store.reading(DATASETS.find(dataset_id_of(principal, dataset)))
    if found is None or found.principal != principal:
        raise ProblemError("not-found", f"there is no dataset {dataset!r}")
    return found


async def find_version(
    parts: Parts, principal: str, dataset: str, version: str | None
) -> tuple[DatasetDocument, DatasetVersionDocument]:
    """By version or its number; the latest for None. Raises ProblemError, StoreUnavailable."""
    found = await find_dataset(parts, principal, dataset)
    listed = await parts.store.reading(DATASETS.versions(found.id))
    chosen = version_of(listed, version or found.latest)
    if chosen is None:
        raise ProblemError("not-found", f"{found.name!r} has no version {version!r}")
    return found, chosen


async def asked_version(
    dataset: Reference, principal: Principal, parts: PartsDependency, version: VersionQuery = None
) -> tuple[DatasetDocument, DatasetVersionDocument]:
    """What the path and the query name. Raises ProblemError, StoreUnavailable."""
    return await find_version(parts, principal, dataset, version)


Asked = Annotated[tuple[DatasetDocument, DatasetVersionDocument], Depends(asked_version)]
