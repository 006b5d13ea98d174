"""Jobs: submit, list, poll, stream."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator

from gateway import preferences
from gateway.body import LimitedRoute
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.explanation import explain
from gateway.finding import find, plausible
from gateway.hot import HotRoute
from gateway.openapi import PROBLEM_RESPONSES, job_request_body
from gateway.paging import Limit, paged
from gateway.problems import ProblemError
from gateway.streaming import CLOSING, KEEP_ALIVE, KEEP_ALIVE_S, EventStream
from gateway.view import Snapshot, summary
from schemas.kinds import kinds
from schemas.lifecycle import JobState
from schemas.resources import CancelRequest, Job, JobExplanation, JobPage, KindDescription
from storage import jobs
from storage.jobs import JobFilter

router = APIRouter(prefix="/v1", tags=["jobs"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute)
hot = APIRouter(prefix="/v1", tags=["jobs"], responses=PROBLEM_RESPONSES, route_class=HotRoute)


def _in_utc(time: datetime | None) -> datetime | None:
    """What names no zone is taken as UTC. Raises ValueError at the ends of the calendar, beyond which UTC ends."""
    if time is None:
        return None
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("beyond the calendar; give a date between the years 2 and 9998") from None


@hot.post("/jobs", status_code=202, response_model=Job, openapi_extra=job_request_body())
async def submit(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Submit a job of any kind. Answered once the broker has it on disk; `Prefer: wait=N` answers when it ended."""
    return await parts.submission.from_body(request, principal)


@router.get("/kinds", response_model=list[KindDescription])
async def list_kinds(_principal: Principal) -> list[KindDescription]:
    """What can be submitted, with the JSON Schema of parameters and results."""
    return [
        KindDescription(
            kind=kind.name,
            summary=kind.summary,
            max_attempts=kind.max_attempts,
            params_schema=kind.command.model_json_schema(),
            result_schema=kind.result.model_json_schema(),
        )
        for kind in kinds().values()
    ]


@router.get("/jobs", response_model=JobPage)
async def list_jobs(
    _principal: Principal,
    parts: PartsDependency,
    limit: Limit = 50,
    cursor: str | None = None,
    status: JobState | None = None,
    kind: str | None = None,
    created_after: Annotated[datetime | None, AfterValidator(_in_utc)] = None,
) -> Response:
    """Jobs, newest first. Pages are stable while jobs are added."""
    query = {"status": status, "kind": kind, "created_after": created_after and created_after.isoformat()}
    find = partial(jobs.page, JobFilter(status=status, kind=kind, created_after=created_after))
    found, following = await paged(
        parts, "/v1/jobs", query, limit, cursor, find, lambda document: document.created_at
    )
    page = JobPage(items=[summary(document) for document in found], next=following)
    return Response(page.model_dump_json(), media_type="application/json")


@hot.get("/jobs/{job_id}", response_model=Job)
async def get_job(
    job_id: str,
    request: Request,
    principal: Principal,  # noqa: ARG001  # HotRoute passes it by name
    parts: PartsDependency,
) -> Response:
    """One job. `If-None-Match` with its `ETag` answers 304; `Prefer: wait=N` answers when it ended."""
    wait_s = preferences.wait_s(request.headers, parts.settings.max_wait_s)
    headers = {"Preference-Applied": f"wait={wait_s:g}"} if wait_s else {}
    found = await find(parts, job_id)
    if wait_s and not found.terminal:
        async with parts.feed.listening(job_id) as changed:
            changed.set()  # it may have ended between the look above and the listening
            found = await parts.view.wait(job_id, changed, wait_s) or found
    headers["ETag"] = found.etag
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    job = await parts.view.resource(found)
    return Response(job.model_dump_json(), media_type="application/json", headers=headers)


@router.get(
    "/jobs/{job_id}/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}}
)
async def stream(job_id: str, request: Request, _principal: Principal, parts: PartsDependency) -> Response:
    """The job's life as server-sent events, named after its status, each with the whole job as data.

    Ids grow with the job; `Last-Event-ID` resumes behind the one that the client saw last, without loss or repeat.
    The stream ends with the terminal event; a client that has it already gets 204, which keeps it from reconnecting.
    """
    after = preferences.known_order(request.headers)
    found = await find(parts, job_id)
    if found.terminal and found.order <= after:
        return Response(status_code=204)
    return EventStream(_events(parts, found, after))


@router.get("/jobs/{job_id}/why", response_model=JobExplanation)
async def why(job_id: str, _principal: Principal, parts: PartsDependency) -> Response:
    """Why the job stands where it stands: its place in the queue, its retry, its lease, the workers of its kind; and
    what happens next. What is away is named in `missing`, and the rest is said all the same."""
    facts = await parts.inquiry.about(job_id) if plausible(job_id) else None
    if facts is None:
        raise ProblemError("not-found", f"there is no job {job_id!r}")
    explanation = explain(facts)
    return Response(explanation.model_dump_json(), media_type="application/json")


@router.post("/jobs/{job_id}/cancel", response_model=Job)
async def cancel(
    job_id: str, principal: Principal, parts: PartsDependency, asked: CancelRequest | None = None
) -> Response:
    """Cancel a job, wherever it is: waiting, between attempts, or running. Idempotent. Answers with the job as it is
    then: one that had ended before stays as it was."""
    found = await parts.cancellation.cancel(await find(parts, job_id), principal, asked.reason if asked else "")
    job = await parts.view.resource(found)
    return Response(
        job.model_dump_json(),
        status_code=200 if found.terminal else 202,
        media_type="application/json",
        headers={"ETag": found.etag, "Location": f"/v1/jobs/{job_id}"},
    )


@router.post("/jobs/{job_id}/finish", response_model=Job)
async def finish(job_id: str, _principal: Principal, parts: PartsDependency) -> Response:
    """Ask a running job to end early and keep the best that it has found: it ends as `succeeded`, soon after. Its
    worker looks for it every ten seconds. Idempotent; a job that had ended before stays as it was. Kinds that have
    nothing to show before they end answer 409, as does a job that is not running."""
    found = await find(parts, job_id)
    await parts.cancellation.finish(found)
    job = await parts.view.resource(found)
    return Response(
        job.model_dump_json(),
        status_code=200 if found.terminal else 202,
        media_type="application/json",
        headers={"ETag": found.etag, "Location": f"/v1/jobs/{job_id}"},
    )


async def _events(parts: Parts, found: Snapshot, after: int) -> AsyncIterator[str]:
    async for snapshot in parts.view.follow(found, after, KEEP_ALIVE_S, parts.closing):
        if snapshot is None:
            yield KEEP_ALIVE
            continue
        job = await parts.view.resource(snapshot)
        yield f"id: {snapshot.order}\nevent: {job.status}\ndata: {job.model_dump_json()}\n\n"
        if snapshot.terminal:
            return
    yield CLOSING
