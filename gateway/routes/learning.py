"""Training and predictions as jobs. What a request leaves open is decided when it is accepted, and stands in the
job."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from gateway.body import LimitedRoute
from gateway.catalog import find_version
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.hot import HotRoute
from gateway.openapi import PROBLEM_RESPONSES, model_body
from gateway.problems import invalid_parameters
from gateway.registry import ModelReference, find_model, resolve
from schemas.jobs.model_predict import MODEL_PREDICT
from schemas.jobs.model_predict_dataset import MODEL_PREDICT_DATASET
from schemas.jobs.model_train import MODEL_TRAIN, Training
from schemas.plugins import PluginDescription
from schemas.registry import PredictDatasetRequest, PredictRequest, TrainRequest
from schemas.resources import Job
from storage import plugins

router = APIRouter(prefix="/v1", tags=["models"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute)
hot = APIRouter(prefix="/v1", tags=["models"], responses=PROBLEM_RESPONSES, route_class=HotRoute)

_LONGEST_NAME = 100


@router.get("/plugins", response_model=list[PluginDescription])
async def list_plugins(_principal: Principal, parts: PartsDependency) -> list[PluginDescription]:
    """Trainers, preprocessors and metrics that the training workers have, with the schemas of their settings."""
    return await parts.store.reading(plugins.announced(parts.database))


@router.post("/models/train", status_code=202, response_model=Job)
async def train(asked: TrainRequest, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Learn to predict one column of a dataset from the others, as a job of kind `model.train`: a new version of the
    model `name`."""
    earlier = await parts.submission.earlier(request, principal)
    params = {
        **{name: getattr(asked, name) for name in Training.model_fields},
        **await _dataset(parts, principal, asked.dataset, asked.version or earlier.get("version")),
    }
    dataset = params.pop("name")
    params["name"] = asked.name or _fitted(f"{dataset}-{asked.target}")
    return await parts.submission.of_params(request, principal, MODEL_TRAIN, params)


@hot.post("/models/{model}/predict", status_code=202, response_model=Job, openapi_extra=model_body(PredictRequest))
async def predict(model: ModelReference, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Predict the target for rows, as a job of kind `model.predict`, which says exactly which version answered."""
    try:
        asked = PredictRequest.model_validate(await parts.submission.json_body(request))
    except ValidationError as error:
        raise invalid_parameters(error) from None
    earlier = await parts.submission.earlier(request, principal)
    model_id, version = await resolve(parts, principal, model, asked.wanted or earlier.get("version"))
    kept = ("rows", "explain", "log")
    params = {name: getattr(asked, name) for name in kept} | {"model_id": model_id, "version": version}
    return await parts.submission.of_params(request, principal, MODEL_PREDICT, params)


@router.post("/models/{model}/predict-dataset", status_code=202, response_model=Job)
async def predict_dataset(
    model: ModelReference,
    asked: PredictDatasetRequest,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
) -> Response:
    """Predict the target for every row of a dataset, as a job of kind `model.predict-dataset`: a new version of the
    dataset `name`."""
    earlier = await parts.submission.earlier(request, principal)
    found = await find_model(parts, principal, model)
    model_id, version = await resolve(parts, principal, model, asked.wanted or earlier.get("version"))
    asked_version = asked.dataset_version or earlier.get("dataset_version")
    dataset = await _dataset(parts, principal, asked.dataset, asked_version)
    params = {
        "model_id": model_id,
        "version": version,
        "dataset_id": dataset["dataset_id"],
        "dataset_version": dataset["version"],
        "name": asked.name or _fitted(f"{dataset['name']}-{found.name}"),
    }
    return await parts.submission.of_params(request, principal, MODEL_PREDICT_DATASET, params)


async def _dataset(parts: Parts, principal: str, dataset: str, version: str | None) -> dict[str, Any]:
    found, chosen = await find_version(parts, principal, dataset, version)
    return {"dataset_id": found.id, "version": chosen.version, "name": found.name}


def _fitted(name: str) -> str:
    """As a name of a dataset or model must be, which begin with that of a dataset."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST_NAME]
