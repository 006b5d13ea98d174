"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`."""

import re
from typing import Any

from fastapi.responses import Response
from pydantic_core import to_json

from gateway.problems import ProblemError
from schemas.lifecycle import JobState
from schemas.resources import Job, JobFailure

_CODES = {"unauthenticated": "invalid_api_key", "input-too-long": "context_length_exceeded"}
_STATUS = {"model-not-found": 404, "model-not-allowed": 403}
_FIELD = re.compile(r"(/[A-Za-z0-9_/]+): ")


def of_problem(error: ProblemError) -> tuple[int, dict[str, Any]]:
    """Status and body."""
    status = error.type.status or 500
    first = error.errors[0] if error.errors else None
    message = f"{error.type.title}: {error.detail}"
    if error.errors:
        message = "; ".join(f"{_param(each.pointer) or 'the body'}: {each.detail}" for each in error.errors)
    return status, _body(message, status, error.type.slug, _param(first.pointer) if first else None)


def of_job(job: Job) -> tuple[int, dict[str, Any]]:
    """Of one that ended and did not succeed."""
    failure = job.error or JobFailure(type="", title=f"The job is {job.status}", detail="")
    slug = failure.type.rpartition("/")[2]
    status = {JobState.FAILED: _STATUS.get(slug, 400), JobState.CANCELLED: 409}.get(job.status, 500)
    field = _FIELD.match(failure.detail)
    return status, _body(f"{failure.title}: {failure.detail}", status, slug, _param(field[1]) if field else None)


def answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(body), status, headers, "application/json")


def _body(message: str, status: int, slug: str, param: str | None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "api_error"
    code = _CODES.get(slug, slug.replace("-", "_") or None)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _param(pointer: str) -> str | None:
    """`/messages/0/role` is `messages[0].role`; our options are their parameters."""
    parts = [part for part in pointer.removeprefix("/options").split("/") if part]
    return "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in parts).lstrip(".") or None
