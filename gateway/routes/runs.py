"""What the program of a job writes, and what it left."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import TypeAdapter, ValidationError

from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.files import file_response
from gateway.finding import find_own
from gateway.openapi import PROBLEM_RESPONSES
from gateway.problems import ProblemError
from gateway.runs import ENDED, follow
from gateway.streaming import KEEP_ALIVE_S, EventStream
from schemas.code import Produced
from schemas.execution import Stream
from schemas.files import StoredFile
from schemas.resources import Job

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["code"], responses=PROBLEM_RESPONSES)

_PRODUCED = TypeAdapter(list[Produced])
_ENTRY_ID = re.compile(r"\d{1,20}-\d{1,20}")


@router.get("/output", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def stream(job_id: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """What the program writes, as server-sent events while it runs: `started`, which voids what came before, `stdout`
    and `stderr` with `{"text": ...}`, and `truncated` where live output has become too long to go on. The last one,
    `ended`, carries the job. `Last-Event-ID` resumes. Advisory: the job's result is the truth."""
    await find_own(parts, job_id, principal)
    after = request.headers.get("last-event-id", "").strip()
    if after == ENDED:
        return Response(status_code=204)
    if after and not _ENTRY_ID.fullmatch(after):
        raise ProblemError("invalid-header", f"Last-Event-ID: {after!r} is not an id of this stream")
    return EventStream(follow(parts, job_id, after or None, KEEP_ALIVE_S))


@router.get("/output/{stream}")
async def whole(
    job_id: str, stream: Stream, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """All that was kept of a stream, as text."""
    job = await _ended(parts, job_id, principal)
    result = job.result or {}
    if not isinstance(text := result.get(stream.value), str):
        raise ProblemError("not-found", f"job {job_id} has no {stream.value}")
    if stored := result.get(f"{stream.value}_file"):
        file = StoredFile.model_validate(stored)
        return await file_response(request, parts.blobs, file, "text/plain; charset=utf-8", foreign=True)
    return Response(text, media_type="text/plain; charset=utf-8", headers={"X-Content-Type-Options": "nosniff"})


@router.get("/artifacts/{name:path}")
async def artifact(
    job_id: str,
    name: Annotated[str, Path(description="As the result names it, with its folders")],
    request: Request,
    principal: Principal,
    parts: PartsDependency,
) -> Response:
    """A file that the program left, to be saved: nothing that a program made is shown as a page of ours."""
    job = await _ended(parts, job_id, principal)
    try:
        left = _PRODUCED.validate_python((job.result or {}).get("artifacts", []))
    except ValidationError:  # another kind's artifacts, which have routes of their own
        left = []
    found = next((each.file for each in left if each.name == name), None)
    if found is None:
        raise ProblemError("not-found", f"job {job_id} has left no {name!r}")
    filename = name.rpartition("/")[2]
    return await file_response(request, parts.blobs, found, "application/octet-stream", filename, foreign=True)


async def _ended(parts: Parts, job_id: str, principal: str) -> Job:
    """Raises ProblemError, BlobMissing, BlobUnavailable."""
    return await parts.view.resource(await find_own(parts, job_id, principal))
