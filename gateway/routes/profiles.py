"""Profiles of datasets: start one, read its figures, open its report."""

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.body import LimitedRoute
from gateway.catalog import Asked, Reference, VersionQuery, find_dataset, find_version
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.files import file_response
from gateway.openapi import PROBLEM_RESPONSES
from gateway.problems import ProblemError, invalid_fields
from producers.catalog import profile_id_of
from reports import drift, render_comparison
from schemas.catalog import ProfileRequest, ProfileSummary
from schemas.jobs.dataset_profile import DATASET_PROFILE, DatasetProfiled
from schemas.problems import InvalidField
from schemas.profile import DatasetProfile, ProfileComparison
from schemas.resources import Job
from storage import datasets
from storage.blob_writers import blob_path
from storage.documents import DatasetDocument, DatasetVersionDocument

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute)


async def asked_profile(asked: Asked, parts: PartsDependency, target: str | None = None) -> DatasetProfiled:
    """Raises ProblemError, StoreUnavailable."""
    return await _made(parts, *asked, target)


async def compared(
    dataset: Reference,
    principal: Principal,
    parts: PartsDependency,
    before: VersionQuery = None,
    after: VersionQuery = None,
    other: Annotated[str | None, Query(description="The dataset that `after` is of, if it is another")] = None,
) -> ProfileComparison:
    """Raises ProblemError, StoreUnavailable, BlobMissing, BlobUnavailable."""
    old = await find_version(parts, principal, dataset, before)
    new = await find_version(parts, principal, other or dataset, after)
    if old[1].id == new[1].id:
        detail = f"it is version {new[1].number} of {new[0].name!r} as well: say another, or `other`, a dataset"
        raise invalid_fields([InvalidField(pointer="/after", detail=detail)])
    profiles = [await _read(parts, *version) for version in (old, new)]
    return await asyncio.to_thread(drift.compare, *profiles)


async def _read(parts: Parts, found: DatasetDocument, version: DatasetVersionDocument) -> DatasetProfile:
    stored = (await _made(parts, found, version, None)).profile
    content = await parts.blobs.get(blob_path(stored.sha256), stored.sha256)
    profile = await asyncio.to_thread(DatasetProfile.model_validate_json, content)
    return profile.model_copy(update={"name": f"{found.name}, version {version.number}"})


async def _made(
    parts: Parts, found: DatasetDocument, chosen: DatasetVersionDocument, target: str | None
) -> DatasetProfiled:
    profile_id = profile_id_of(found.id, chosen.version, target)
    made = await parts.store.reading(datasets.profile(profile_id))
    if made is None:
        what = f"version {chosen.number} of {found.name!r}" + (f" for target {target!r}" if target else "")
        raise ProblemError("not-found", f"{what} has no profile yet: POST /v1/datasets/{quote(found.name)}/profile")
    return DatasetProfiled.model_validate(made.profiled)


AskedProfile = Annotated[DatasetProfiled, Depends(asked_profile)]
Compared = Annotated[ProfileComparison, Depends(compared)]


@router.post("/{dataset}/profile", status_code=202, response_model=Job)
async def start_profile(
    dataset: Reference,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    asked: ProfileRequest | None = None,
) -> Response:
    """Profile a version, as a job of kind `dataset.profile`."""
    asked = asked or ProfileRequest()
    found, version = await find_version(parts, principal, dataset, asked.version)
    params = {"dataset_id": found.id, "version": version.version, "target": asked.target}
    return await parts.submission.of_params(request, principal, DATASET_PROFILE, params)


@router.get("/{dataset}/profile")
async def get_profile(asked: AskedProfile, request: Request, parts: PartsDependency) -> Response:
    """The profile as JSON: see the schema in `docs/api/profile.schema.json`."""
    return await file_response(request, parts.blobs, asked.profile, "application/json")


@router.get("/{dataset}/profile.html")
async def get_report(asked: AskedProfile, request: Request, parts: PartsDependency) -> Response:
    """The profile as a page that needs no network."""
    return await file_response(request, parts.blobs, asked.report, "text/html; charset=utf-8")


@router.get("/{dataset}/profile/compare", response_model=ProfileComparison)
async def compare_profiles(found: Compared) -> Response:
    """How far each column drifted from one version to another, or to a version of another dataset."""
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/{dataset}/profile/compare.html")
async def compare_as_page(found: Compared) -> Response:
    """The same as a page that needs no network."""
    return Response(await asyncio.to_thread(render_comparison, found), media_type="text/html; charset=utf-8")


@router.get("/{dataset}/profiles", response_model=list[ProfileSummary])
async def list_profiles(dataset: Reference, principal: Principal, parts: PartsDependency) -> list[ProfileSummary]:
    """Every profile of a dataset, newest first."""
    found = await find_dataset(parts, principal, dataset)
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
