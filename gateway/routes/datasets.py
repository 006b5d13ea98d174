"""Datasets: upload, list, look at, profile, delete."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway import cursors, uploads
from gateway.body import LimitedRoute, read_body
from gateway.catalog import describe, described, ingested_of, summary, version_of
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES, upload_body
from gateway.problems import ProblemError, invalid_fields, invalid_parameters
from gateway.routes.uploads import find as find_upload
from gateway.uploads import Upload
from producers.catalog import profile_id_of
from schemas.catalog import Dataset, DatasetPage, DatasetVersion, ProfileRequest, ProfileSummary
from schemas.files import StoredFile
from schemas.jobs.dataset_ingest import DATASET_INGEST, IngestDataset
from schemas.jobs.dataset_profile import DATASET_PROFILE, DatasetProfiled
from schemas.problems import InvalidField
from schemas.resources import Job
from storage import datasets
from storage.blob_writers import Written, blob_path
from storage.documents import DatasetDocument, DatasetVersionDocument

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=PROBLEM_RESPONSES)
asking = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute)

_PARQUET = "application/vnd.apache.parquet"
_HINTS = ("format", "encoding", "delimiter", "header", "sheet")
_SOME_FILE = StoredFile(sha256="0" * 64, bytes=0)
_SPELLED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


class _Finished(BaseModel):
    """An upload by parts that shall become a dataset; the other fields are those of a form."""

    model_config = ConfigDict(extra="allow")

    upload: str


Reference = Annotated[str, Path(description="The id of a dataset, or its name")]
VersionQuery = Annotated[str | None, Query(description="A version or its number; the latest when left out")]


@router.post("", status_code=202, response_model=Job, openapi_extra=upload_body())
async def upload(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Upload a file as a form: `file`, `name`, and optionally how it is to be read. A known name gets a new version.

    The file is streamed into the blob store and hashed on its way; the job `dataset.ingest` then reads it. For a file
    that came in parts through `/v1/uploads` the body is JSON, with the same fields and its id as `upload`."""
    if request.headers.get("content-type", "").startswith("application/json"):
        return await _finished_upload(request, principal, parts)
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
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Response:
    """Datasets, last changed first."""
    name = "datasets"
    after = cursors.decode(parts.keys.cursor_secret, name, cursor) if cursor else None
    found = await parts.store.reading(datasets.page(principal, limit + 1, after))
    following = None
    if len(found) > limit:
        last = found[limit - 1]
        token = cursors.encode(parts.keys.cursor_secret, name, last.updated_at, last.id)
        following = "/v1/datasets?" + urlencode({"limit": limit, "cursor": token})
    return _json(DatasetPage(items=[summary(document) for document in found[:limit]], next=following))


@router.get("/{dataset}", response_model=Dataset)
async def get_dataset(
    dataset: Reference, principal: Principal, parts: PartsDependency, version: VersionQuery = None
) -> Response:
    """A dataset with its latest version, or with the one that is asked for."""
    return _json(describe(*await _version(parts, principal, dataset, version)))


@router.get("/{dataset}/versions", response_model=list[DatasetVersion])
async def list_versions(dataset: Reference, principal: Principal, parts: PartsDependency) -> list[DatasetVersion]:
    """Every version, newest first."""
    found = await _dataset(parts, principal, dataset)
    return [described(item) for item in await parts.store.reading(datasets.versions(found.id))]


@router.get("/{dataset}/preview")
async def preview(
    dataset: Reference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    version: VersionQuery = None,
) -> Response:
    """The first rows: `{"columns": [...], "rows": [[...], ...]}`."""
    ingested = ingested_of((await _version(parts, principal, dataset, version))[1])
    return await _file(request, parts, ingested.preview, "application/json")


@router.get("/{dataset}/table")
async def table(
    dataset: Reference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    version: VersionQuery = None,
) -> Response:
    """All rows as a Parquet file."""
    ingested = ingested_of((await _version(parts, principal, dataset, version))[1])
    return await _file(request, parts, ingested.table, _PARQUET, f"{ingested.name}.parquet")


@router.get("/{dataset}/rejects")
async def rejects(
    dataset: Reference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    version: VersionQuery = None,
) -> Response:
    """The rows that could not be read, with line and reason, as a Parquet file."""
    ingested = ingested_of((await _version(parts, principal, dataset, version))[1])
    if ingested.rejects is None:
        raise ProblemError("not-found", f"every row of {ingested.name!r} could be read")
    return await _file(request, parts, ingested.rejects, _PARQUET, f"{ingested.name}-rejects.parquet")


@router.delete("/{dataset}", status_code=204)
async def delete(dataset: Reference, principal: Principal, parts: PartsDependency) -> Response:
    """Forget a dataset with its versions and profiles."""
    found = await _dataset(parts, principal, dataset)
    await parts.store.reading(datasets.delete(parts.database, found.id, datetime.now(UTC)))
    return Response(status_code=204)


@asking.post("/{dataset}/profile", status_code=202, response_model=Job)
async def start_profile(
    dataset: Reference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    asked: ProfileRequest | None = None,
) -> Response:
    """Profile a version, as a job of kind `dataset.profile`."""
    asked = asked or ProfileRequest()
    found, version = await _version(parts, principal, dataset, asked.version)
    params = {"dataset_id": found.id, "version": version.version, "target": asked.target}
    return await parts.submission.of_params(request, principal, DATASET_PROFILE, params)


@router.get("/{dataset}/profile")
async def get_profile(
    dataset: Reference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    version: VersionQuery = None,
    target: str | None = None,
) -> Response:
    """The profile as JSON: see the schema in `docs/api/profile.schema.json`."""
    found = await _profile(parts, principal, dataset, version, target)
    return await _file(request, parts, found.profile, "application/json")


@router.get("/{dataset}/profile.html")
async def get_report(
    dataset: Reference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    version: VersionQuery = None,
    target: str | None = None,
) -> Response:
    """The profile as a page that needs no network."""
    found = await _profile(parts, principal, dataset, version, target)
    return await _file(request, parts, found.report, "text/html; charset=utf-8")


@router.get("/{dataset}/profiles", response_model=list[ProfileSummary])
async def list_profiles(dataset: Reference, principal: Principal, parts: PartsDependency) -> list[ProfileSummary]:
    """Every profile of a dataset, newest first."""
    found = await _dataset(parts, principal, dataset)
    listed = await parts.store.reading(datasets.profiles(found.id))
    made = [(document, DatasetProfiled.model_validate(document.profiled)) for document in listed]
    return [
        ProfileSummary(
            id=document.id,
            dataset_id=result.dataset_id,
            version=result.version,
            target=result.target,
            created_at=document.created_at,
            headline=result.headline,
        )
        for document, result in made
    ]


async def _finished_upload(request: Request, principal: str, parts: Parts) -> Response:
    content = await read_body(request, parts.settings.max_body_bytes)
    try:
        given = _Finished.model_validate_json(content)
    except ValidationError as error:
        raise invalid_parameters(error) from None
    partial = find_upload(parts, given.upload, principal)
    if parts.uploads.offset(partial) < partial.length:
        detail = f"{parts.uploads.offset(partial):,} of {partial.length:,} bytes are here: send the rest first"
        raise invalid_fields([InvalidField(pointer="/upload", detail=detail)])
    if partial.sha256 is None:
        file = await parts.blobs.put_file(parts.uploads.content(partial))
        parts.uploads.became(partial, file.sha256)
    else:
        file = Written(blob_path(partial.sha256), partial.sha256, partial.length)
    found = Upload(file, partial.metadata.get("filename", "upload"))
    return await _ingest(request, principal, parts, found, given.model_extra or {})


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


async def _dataset(parts: Parts, principal: str, dataset: str) -> DatasetDocument:
    found = await parts.store.reading(datasets.find(dataset, principal))
    if found is None or found.principal != principal:
        raise ProblemError("not-found", f"there is no dataset {dataset!r}")
    return found


async def _version(
    parts: Parts, principal: str, dataset: str, version: str | None
) -> tuple[DatasetDocument, DatasetVersionDocument]:
    found = await _dataset(parts, principal, dataset)
    listed = await parts.store.reading(datasets.versions(found.id))
    chosen = version_of(listed, version or found.latest)
    if chosen is None:
        raise ProblemError("not-found", f"{found.name!r} has no version {version!r}")
    return found, chosen


async def _profile(
    parts: Parts, principal: str, dataset: str, version: str | None, target: str | None
) -> DatasetProfiled:
    found, chosen = await _version(parts, principal, dataset, version)
    profile_id = profile_id_of(found.id, chosen.version, target)
    made = await parts.store.reading(datasets.profile(profile_id))
    if made is None:
        what = f"version {chosen.number} of {found.name!r}" + (f" for target {target!r}" if target else "")
        raise ProblemError("not-found", f"{what} has no profile yet: POST /v1/datasets/{quote(found.name)}/profile")
    return DatasetProfiled.model_validate(made.profiled)


async def _file(
    request: Request, parts: Parts, stored: StoredFile, media_type: str, filename: str | None = None
) -> Response:
    headers = {"ETag": f'"{stored.sha256}"', "Cache-Control": "no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(stored.bytes)
    if filename is not None:
        headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    content = await parts.blobs.stream(blob_path(stored.sha256))
    return StreamingResponse(content, media_type=media_type, headers=headers)


def _json(found: BaseModel) -> Response:
    return Response(found.model_dump_json(), media_type="application/json")
