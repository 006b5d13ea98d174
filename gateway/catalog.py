"""Datasets as resources."""

from collections.abc import Sequence
from typing import Any

from schemas.catalog import Dataset, DatasetLinks, DatasetSummary, DatasetVersion
from schemas.jobs.dataset_ingest import DatasetIngested
from storage.documents import DatasetDocument, DatasetVersionDocument


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
