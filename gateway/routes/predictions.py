"""What models were asked: the request log, and how far it has drifted from what they learned from."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic_core import from_json

from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES
from gateway.paging import Limit, paged
from gateway.problems import ProblemError
from gateway.registry import ModelReference, find_model, version_of
from producers.drift import input_drift
from schemas.jobs.dataset_profile import DatasetProfiled
from schemas.learning import Lineage
from schemas.profile import DatasetProfile
from schemas.registry import InputDrift, ModelDrift, Prediction, PredictionPage
from storage import datasets, predictions
from storage.blob_writers import blob_path
from storage.documents import PredictionDocument

router = APIRouter(prefix="/v1/models", tags=["models"], responses=PROBLEM_RESPONSES)

_MOST_REQUESTS = 2_000
_MOST_ROWS = 10_000
"""Enough to tell a shift; the newest are looked at."""

VersionQuery = Annotated[
    str | None, Query(description="A version, its number, an alias, or `latest`; see each route for its absence")
]


@router.get("/{model}/predictions", response_model=PredictionPage)
async def list_predictions(
    model: ModelReference,
    principal: Principal,
    parts: PartsDependency,
    version: VersionQuery = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Response:
    """The request log, newest first; of all versions unless one is named."""
    found = await find_model(parts, principal, model)
    chosen = None if version is None else (await version_of(parts, found, version)).version.version
    path = f"/v1/models/{found.id}/predictions"
    find = partial(predictions.page, found.id, chosen)
    listed, following = await paged(
        parts, path, {"version": chosen}, limit, cursor, find, lambda document: document.at
    )
    page = PredictionPage(items=[_entry(document) for document in listed], next=following)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{model}/drift", response_model=ModelDrift)
async def drift(
    model: ModelReference,
    principal: Principal,
    parts: PartsDependency,
    version: VersionQuery = None,
    days: Annotated[float, Query(gt=0, le=3_650, description="How far to look back")] = 7,
) -> Response:
    """How the rows that a version was asked about differ from those that it learned from, by input column; of the
    version that answers unless one is named. The training data must have been profiled."""
    chosen = await version_of(parts, await find_model(parts, principal, model), version)
    trained = chosen.trained
    profile = await _profile(parts, trained.origin)
    since = datetime.now(UTC) - timedelta(days=days)
    listed = await parts.store.reading(
        predictions.page(chosen.model.id, chosen.version.version, _MOST_REQUESTS, since=since)
    )
    inputs = [column.name for column in trained.signature.inputs]
    requests, rows, columns = await asyncio.to_thread(_compared, profile, inputs, listed)
    found = ModelDrift(
        version=chosen.version.version,
        since=since,
        requests=requests,
        rows=rows,
        training_rows=profile.rows,
        columns=sorted(columns, key=lambda each: -each.score),
        unchecked=[name for name in inputs if name not in {each.column for each in columns}],
    )
    return Response(found.model_dump_json(), media_type="application/json")


def _compared(
    profile: DatasetProfile, inputs: list[str], listed: list[PredictionDocument]
) -> tuple[int, int, list[InputDrift]]:
    """Requests and rows that were looked at, and the columns that could be compared."""
    requests, rows = 0, list[dict[str, Any]]()
    for document in listed:
        if document.inputs is not None and len(rows) < _MOST_ROWS:
            requests += 1
            rows += from_json(document.inputs)
    profiled = {column.name: column for column in profile.columns}
    found = [input_drift(profiled[name], rows) for name in inputs if name in profiled]
    return requests, len(rows), [each for each in found if each is not None]


async def _profile(parts: Parts, origin: Lineage) -> DatasetProfile:
    """Of the training data, whatever target it was made for. Raises ProblemError, StoreUnavailable, BlobMissing."""
    listed = await parts.store.reading(datasets.profiles(origin.dataset_id))
    made = next((each for each in listed if each.version == origin.dataset_version), None)
    if made is None:
        how = f"POST /v1/datasets/{origin.dataset_id}/profile with version {origin.dataset_version}"
        raise ProblemError("not-found", f"its training data, {origin.dataset_name!r}, has no profile yet: {how}")
    stored = DatasetProfiled.model_validate(made.profiled).profile
    return DatasetProfile.model_validate_json(await parts.blobs.get(blob_path(stored.sha256), stored.sha256))


def _entry(document: PredictionDocument) -> Prediction:
    return Prediction(
        job_id=document.id,
        version=document.version,
        at=document.at,
        rows=document.rows,
        inputs=None if document.inputs is None else from_json(document.inputs),
        outputs=from_json(document.outputs),
        duration_s=document.duration_s,
    )
