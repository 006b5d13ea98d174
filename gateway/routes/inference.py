"""Inference by task: `POST /v1/inference/embed` is a job of kind `text.embed`."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.dependencies import PartsDependency, Principal
from gateway.hot import HotRoute
from gateway.openapi import PROBLEM_RESPONSES, params_body
from gateway.problems import ProblemError
from schemas.kinds import kinds
from schemas.resources import Job

router = APIRouter(prefix="/v1/inference", tags=["inference"], responses=PROBLEM_RESPONSES, route_class=HotRoute)

_TASKS = {name.removeprefix("text."): kind for name, kind in kinds().items() if name.startswith("text.")}


@router.post("/{task}", status_code=202, response_model=Job, openapi_extra=params_body(_TASKS.values()))
async def infer(task: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Run a model on texts. The body is the task's parameters; everything else is as for `POST /v1/jobs`."""
    kind = _TASKS.get(task)
    if kind is None:
        raise ProblemError("not-found", f"there is no task {task!r}; known are {', '.join(sorted(_TASKS))}")
    return await parts.submission.of_kind(request, principal, kind)
