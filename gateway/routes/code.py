"""Programs of users: look at one, run one."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from gateway.body import LimitedRoute
from gateway.dependencies import PartsDependency, Principal
from gateway.inspection import require_clean
from gateway.openapi import PROBLEM_RESPONSES, params_body
from gateway.problems import invalid_parameters
from producers.lint import lint
from schemas.code import CodeValidated, Severity, ValidateCode
from schemas.jobs.code_run import CODE_RUN, RunCode
from schemas.resources import Job

router = APIRouter(prefix="/v1/code", tags=["code"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute)


@router.post("/runs", status_code=202, response_model=Job, openapi_extra=params_body([CODE_RUN]))
async def run(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Run a Python program in the sandbox, as a job of kind `code.run`. Code that cannot be compiled, or that imports
    what the operator does not want, is refused with line and column."""
    try:
        asked = RunCode.model_validate(await parts.submission.json_body(request))
    except ValidationError as error:
        raise invalid_parameters(error) from None
    require_clean(parts, {"/code": asked.code}, asked.packages)
    return await parts.submission.of_params(request, principal, CODE_RUN, asked)


@router.post("/validate", response_model=CodeValidated)
async def validate(asked: ValidateCode, _principal: Principal, parts: PartsDependency) -> CodeValidated:
    """What is wrong with a program, as far as a look at it tells, with line and column. It is not run. A help for who
    writes it, and no protection: that is the sandbox's affair."""
    found = lint(asked.code, asked.packages, parts.lint)
    return CodeValidated(valid=all(each.severity is not Severity.ERROR for each in found), diagnostics=found)
