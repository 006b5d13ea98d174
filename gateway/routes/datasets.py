"""Datasets: upload, list, look at, delete."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from gateway import uploads
from gateway.arrivals import Arrived, arrived
from gateway.body import read_body
from gateway.catalog import (
    Asked,
    Reference,
    describe,
    described,
    find_dataset,
    ingested_of,
    summary,
)
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.files import file_response
from gateway.openapi import PROBLEM_RESPONSES, upload_body
from gateway.paging import Limit, paged
from gateway.problems import ProblemError, invalid_parameters
from gateway.uploads import Upload
from schemas.catalog import Dataset, DatasetPage, DatasetVersion
from schemas.files import StoredFile
from schemas.jobs.dataset_ingest import DATASET_INGEST, IngestDataset
from schemas.resources import Job
from storage import datasets
from storage.datasets import DATASETS

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=PROBLEM_RESPONSES)

_PARQUET = "application/vnd.apache.parquet"
_HINTS = ("format", "encoding", "delimiter", "header", "sheet")
_SOME_FILE = StoredFile(sha256="0" * 64, bytes=0)
_SPELLED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


@router.post("", status_code=202, response_model=Job, openapi_extra=upload_body())
async def upload(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Upload a file as a form: `file`, `name`, and optionally how it is to be read. A known name gets a new version.

    The file is streamed into the blob store and hashed on its way; the job `dataset.ingest` then reads it. For a file
    that came in parts through `/v1/uploads`, or directly into the bucket, the body is JSON, with the same fields and
    its id as `upload`; with `sha256`, in hex, other bytes are refused."""
    if request.headers.get("content-type", "").startswith("application/json"):
        return await _arrived(request, principal, parts)
    found = await uploads.receive_form(request, parts.blobs, parts.settings.max_upload_bytes)
    return await _ingest(request, principal, parts, found, found.fields)


@router.put(
    "/{name}",
    status_code=202,
    response_model=Job,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}, "required": True}},
)
async def upload_raw(
    name: str,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    filename: str = "upload",
) -> Response:
    """Upload a file as the body: `curl -T iris.csv .../v1/datasets/iris?filename=iris.csv`. How it is to be read may
    stand in the query: `format`, `encoding`, `delimiter`, `header`, `sheet`, `max_rejected_share`."""
    given = {**request.query_params, "name": name}
    try:
        IngestDataset.model_validate(_params(_SOME_FILE, filename, given))  # before gigabytes are on their way
    except ValidationError as error:
        raise invalid_parameters(error) from None
    found = await uploads.receive(request, parts.blobs, parts.settings.max_upload_bytes, filename)
    return await _ingest(request, principal, parts, found, given)


@router.get("", response_model=DatasetPage)
async def list_datasets(
    principal: Principal,
    parts: PartsDependency,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Response:
    """Datasets, last changed first."""
    find = partial(DATASETS.page, principal)
    found, following = await paged(
        parts, router.prefix, {}, limit, cursor, find, lambda document: document.updated_at
    )
    return _json(DatasetPage(items=[summary(document) for document in found], next=following))


@router.get("/{dataset}", response_model=Dataset)
async def get_dataset(asked: Asked) -> Response:
    """A dataset with its latest version, or with the one that is asked for."""
    return _json(describe(*asked))


@router.get("/{dataset}/versions", response_model=list[DatasetVersion])
async def list_versions(dataset: Reference, principal: Principal, parts: PartsDependency) -> list[DatasetVersion]:
    """Every version, newest first."""
    found = await find_dataset(parts, principal, dataset)
    return [described(item) for item in await parts.store.reading(DATASETS.versions(found.id))]


@router.get("/{dataset}/preview")
async def preview(asked: Asked, request: Request, parts: PartsDependency) -> Response:
    """The first rows: `{"columns": [...], "rows": [[...], ...]}`."""
    ingested = ingested_of(asked[1])
    return await file_response(request, parts.blobs, ingested.preview, "application/json")


@router.get("/{dataset}/table")
async def table(asked: Asked, request: Request, parts: PartsDependency) -> Response:
    """All rows as a Parquet file."""
    ingested = ingested_of(asked[1])
    return await file_response(request, parts.blobs, ingested.table, _PARQUET, f"{ingested.name}.parquet")


@router.get("/{dataset}/rejects")
async def rejects(asked: Asked, request: Request, parts: PartsDependency) -> Response:
    """The rows that could not be read, with line and reason, as a Parquet file."""
    ingested = ingested_of(asked[1])
    if ingested.rejects is None:
        raise ProblemError("not-found", f"every row of {ingested.name!r} could be read")
    return await file_response(request, parts.blobs, ingested.rejects, _PARQUET, f"{ingested.name}-rejects.parquet")


@router.delete("/{dataset}", status_code=204)
async def delete(dataset: Reference, principal: Principal, parts: PartsDependency) -> Response:
    """Forget a dataset with its versions and profiles."""
    found = await find_dataset(parts, principal, dataset)
    await parts.store.reading(datasets.delete(parts.database, found.id, datetime.now(UTC)))
    return Response(status_code=204)


async def _arrived(request: Request, principal: str, parts: Parts) -> Response:
    content = await read_body(request, parts.settings.max_body_bytes)
    try:
        asked = Arrived.model_validate_json(content)
    except ValidationError as error:
        raise invalid_parameters(error) from None
    given = asked.model_extra or {}
    try:
        IngestDataset.model_validate(_params(_SOME_FILE, "upload", given))  # before gigabytes are hashed
    except ValidationError as error:
        raise invalid_parameters(error) from None
    return await _ingest(request, principal, parts, await arrived(parts, principal, asked), given)


async def _ingest(
    request: Request, principal: str, parts: Parts, found: Upload, given: Mapping[str, Any]
) -> Response:
    params = _params(StoredFile(sha256=found.file.sha256, bytes=found.file.bytes), found.filename, given)
    return await parts.submission.of_params(request, principal, DATASET_INGEST, params)


def _params(file: StoredFile, filename: str, given: Mapping[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {name: given[name] for name in _HINTS if given.get(name)}
    if "delimiter" in hints:
        hints["delimiter"] = _SPELLED.get(hints["delimiter"], hints["delimiter"])
    params: dict[str, Any] = {"file": file, "filename": given.get("filename") or filename, "hints": hints}
    return params | {name: given[name] for name in ("name", "max_rejected_share") if name in given}


def _json(found: BaseModel) -> Response:
    return Response(found.model_dump_json(), media_type="application/json")
