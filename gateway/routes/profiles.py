"""Profiles of datasets: start one, read its figures, open its report."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.body import LimitedRoute
from gateway.catalog import Reference, VersionQuery, find_dataset, find_version
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.files import file_response
from gateway.openapi import PROBLEM_RESPONSES
from gateway.problems import ProblemError
from producers.catalog import profile_id_of
from schemas.catalog import ProfileRequest, ProfileSummary
from schemas.jobs.dataset_profile import DATASET_PROFILE, DatasetProfiled
from schemas.resources import Job
from storage import datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute)


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
    return await file_response(request, parts.blobs, found.profile, "application/json")


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
    return await file_response(request, parts.blobs, found.report, "text/html; charset=utf-8")


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


async def _profile(
    parts: Parts, principal: str, dataset: str, version: str | None, target: str | None
) -> DatasetProfiled:
    found, chosen = await find_version(parts, principal, dataset, version)
    profile_id = profile_id_of(found.id, chosen.version, target)
    made = await parts.store.reading(datasets.profile(profile_id))
    if made is None:
        what = f"version {chosen.number} of {found.name!r}" + (f" for target {target!r}" if target else "")
        raise ProblemError("not-found", f"{what} has no profile yet: POST /v1/datasets/{quote(found.name)}/profile")
    return DatasetProfiled.model_validate(made.profiled)
