"""Inference by task: `POST /v1/inference/embed` is a job of kind `text.embed`."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.body import LimitedRoute
from gateway.dependencies import PartsDependency, Principal
from gateway.hot import HotRoute
from gateway.openapi import PROBLEM_RESPONSES, params_body
from gateway.problems import ProblemError
from gateway.residency import models_of
from schemas.jobs.model_fetch import MODEL_FETCH
from schemas.kinds import kinds
from schemas.residency import InferenceModel, InferenceModels
from schemas.resources import Job

models = APIRouter(
    prefix="/v1/inference/models", tags=["inference"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute
)
router = APIRouter(prefix="/v1/inference", tags=["inference"], responses=PROBLEM_RESPONSES, route_class=HotRoute)

_TASKS = {name.removeprefix("text."): kind for name, kind in kinds().items() if name.startswith("text.")}


@router.post("/{task}", status_code=202, response_model=Job, openapi_extra=params_body(_TASKS.values()))
async def infer(task: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Run a model on texts. The body is the task's parameters; everything else is as for `POST /v1/jobs`."""
    kind = _TASKS.get(task)
    if kind is None:
        raise ProblemError("not-found", f"there is no task {task!r}; known are {', '.join(sorted(_TASKS))}")
    return await parts.submission.of_kind(request, principal, kind)


@models.get("", response_model=InferenceModels)
async def list_models(principal: Principal, parts: PartsDependency) -> InferenceModels:
    """Which models workers have in memory and on disk, with what they take and how fast they are, as workers told
    within the last seconds."""
    return await models_of(parts, principal)


@models.post("/load", status_code=202, response_model=Job, openapi_extra=params_body([MODEL_FETCH]))
async def load(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Have a model found, downloaded when it is of the hub, and loaded, as a job of kind `model.fetch`."""
    return await parts.submission.of_kind(request, principal, MODEL_FETCH)


@models.get("/{name:path}", response_model=InferenceModel)
async def get_model(name: str, principal: Principal, parts: PartsDependency) -> InferenceModel:
    """One of them. Its name may have a slash."""
    found = next((each for each in (await models_of(parts, principal)).items if each.name == name), None)
    if found is None:
        raise ProblemError("not-found", f"no worker has a model {name!r}; GET /v1/inference/models lists them")
    return found
