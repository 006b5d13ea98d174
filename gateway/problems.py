"""From errors to problem documents: the one place where business errors meet HTTP."""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.routing import Match

from gateway.pages import page, prose
from messaging.publisher import PublishFailed
from messaging.topics import UnknownTopic
from schemas.kinds import UnknownKind
from schemas.problems import MEDIA_TYPE, PROBLEM_TYPES, InvalidField, Problem
from storage.blobs import BlobMissing, BlobUnavailable
from storage.database import StoreUnavailable
from telemetry import metrics

log = structlog.get_logger()

AWAY_S = 2  # what Retry-After says while a part is away: reconnection tries every second


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        errors: list[InvalidField] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.type, self.detail, self.errors, self.headers = PROBLEM_TYPES[slug], detail, errors, headers or {}


def invalid_parameters(error: ValidationError, at: str = "") -> ProblemError:
    """All invalid fields at once, as JSON Pointers below `at`."""
    return invalid_fields(
        [InvalidField(pointer=at + pointer(item["loc"]), detail=_said(item)) for item in error.errors()]
    )


def invalid_fields(fields: list[InvalidField]) -> ProblemError:
    names = ", ".join(field.pointer or "the body" for field in fields[:3])
    return ProblemError("invalid-parameters", f"{len(fields)} invalid: {names}", errors=fields)


def pointer(location: Iterable[str | int]) -> str:
    """RFC 6901, which has no way to say that a key itself is wrong: it points to the key's value."""
    parts = (str(part) for part in location if part != "[key]")
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _said(item: Mapping[str, Any]) -> str:
    """What is wrong with a field, where pydantic's own words help nobody."""
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "extra_forbidden":
        return "There is no field of this name"
    if item["type"].startswith(("datetime_", "timezone_")):
        return "Should be a time with its zone, such as 2026-11-21T09:30:00Z"
    return str(item["msg"])


def document(asked: HTTPConnection, error: ProblemError) -> Problem:
    metrics.JOBS_REFUSED.labels(error.type.slug).inc()
    return Problem(
        type=error.type.path,
        title=error.type.title,
        status=error.type.status or 500,
        detail=error.detail,
        instance=asked.scope.get("millrace.request_id"),
        errors=error.errors,
    )


def response(request: HTTPConnection, error: ProblemError) -> Response:
    problem = document(request, error)
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=error.headers)


def problem_of(error: Exception) -> ProblemError:
    """What an error of the rooms below means to a client. Raises the error itself when nobody foresaw it."""
    for base in type(error).__mro__:
        if to_problem := _PROBLEM_OF.get(base):
            return to_problem(error)
    raise error


def install(app: FastAPI) -> None:
    """Map every error of the rooms below to its problem type, and serve the pages behind the types."""

    async def handle(request: Request, error: Exception) -> Response:
        return response(request, problem_of(error))

    for error_type in _PROBLEM_OF:
        app.add_exception_handler(error_type, handle)
    app.add_exception_handler(405, _wrong_method)
    app.add_api_route("/problems", _index, response_class=HTMLResponse, include_in_schema=False)
    app.add_api_route("/problems/{slug}", _page, response_class=HTMLResponse, include_in_schema=False)


def _unknown_kind(error: UnknownKind) -> ProblemError:
    field = InvalidField(pointer="/kind", detail=str(error))
    return ProblemError("invalid-parameters", str(error), errors=[field])


def _unknown_topic(error: UnknownTopic) -> ProblemError:
    return ProblemError("invalid-query", str(error), errors=[InvalidField(pointer="topic", detail=str(error))])


def _invalid_request(error: RequestValidationError) -> ProblemError:
    in_body = [item for item in error.errors() if item["loc"][0] == "body"]
    if any(item["type"] == "json_invalid" for item in in_body):
        return ProblemError("malformed-json", f"the body: {in_body[0]['ctx']['error']}")
    if in_body:
        return invalid_fields([InvalidField(pointer=pointer(i["loc"][1:]), detail=_said(i)) for i in in_body])
    errors = [InvalidField(pointer=str(item["loc"][-1]), detail=_said(item)) for item in error.errors()]
    return ProblemError("invalid-query", "; ".join(f"{e.pointer}: {e.detail}" for e in errors), errors=errors)


_SLUG_OF_STATUS = {404: "not-found"}
_NO_ROUTE = "nothing is served at this path; /docs lists what is"
_METHODS = ("GET", "POST", "PUT", "DELETE")


def _http_error(error: HTTPException) -> ProblemError:
    slug = _SLUG_OF_STATUS.get(error.status_code, "internal-error")
    detail = _NO_ROUTE if error.detail == "Not Found" else str(error.detail)
    return ProblemError(slug, detail, headers=dict(error.headers or {}))


_AWAY = {"Retry-After": str(AWAY_S)}
_PROBLEM_OF: dict[type[Exception], Callable[[Any], ProblemError]] = {
    ProblemError: lambda error: error,
    PublishFailed: lambda error: ProblemError("broker-unavailable", str(error), headers=_AWAY),
    StoreUnavailable: lambda error: ProblemError("store-unavailable", str(error), headers=_AWAY),
    BlobUnavailable: lambda error: ProblemError("store-unavailable", str(error), headers=_AWAY),
    BlobMissing: lambda error: ProblemError("bytes-missing", str(error)),
    UnknownKind: _unknown_kind,
    UnknownTopic: _unknown_topic,
    RequestValidationError: _invalid_request,
    ClientDisconnect: lambda _: ProblemError("broken-off", "nobody is there to read this"),
    HTTPException: _http_error,
}


async def _wrong_method(request: Request, _error: Exception) -> Response:
    """Routes of one path know only their own methods."""

    def takes(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(dict(asked))[0] is Match.FULL for route in request.app.routes)

    allowed = ", ".join(filter(takes, _METHODS))
    return response(request, ProblemError("method-not-allowed", f"{allowed} only", headers={"Allow": allowed}))


async def _index() -> HTMLResponse:
    rows = "".join(
        f"<tr><td><a href='{escape(p.path)}'>{escape(p.slug)}</a><td>{p.status or 'job'}<td>{escape(p.title)}"
        for p in PROBLEM_TYPES.values()
    )
    return HTMLResponse(page("Problem types", f"<table><tr><th>Type<th>Status<th>Meaning{rows}</table>"))


async def _page(slug: str) -> HTMLResponse:
    problem = PROBLEM_TYPES.get(slug)
    if problem is None:
        raise ProblemError("not-found", f"there is no problem type {slug!r}")
    where = f"HTTP status {problem.status}" if problem.status else "Stands in a job's <code>error</code>"
    body = f"<p>{where}</p><h2>What to do</h2><p>{prose(problem.remedy)}</p><p><a href='/problems'>All types</a></p>"
    return HTMLResponse(page(problem.title, body))
