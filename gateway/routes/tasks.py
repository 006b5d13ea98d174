"""Tasks of users: make, find, change, fork, run and validate them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from gateway.auditing import audit_page, note
from gateway.body import LimitedRoute
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES, problem_response
from gateway.paging import Behind, Limit, paged
from gateway.problems import ProblemError, invalid_fields
from gateway.tasks import (
    Found,
    TaskReference,
    describe,
    described,
    drafted,
    find_own,
    find_task,
    find_version,
    require_sound,
    summaries,
    versioned,
)
from producers.shapes import Fitting
from schemas.dead_letters import AuditPage
from schemas.jobs.task_run import TASK_RUN
from schemas.problems import InvalidField
from schemas.resources import Job
from schemas.tasks import (
    Ancestor,
    Task,
    TaskDraft,
    TaskFork,
    TaskPage,
    TaskRunRequest,
    TaskUpdate,
    TaskVersion,
    Visibility,
)
from storage import audit, tasks
from storage.documents import TaskDocument, TaskVersionDocument
from storage.tasks import TaskFilter

router = APIRouter(
    prefix="/v1/tasks",
    tags=["tasks"],
    responses={**PROBLEM_RESPONSES, 403: problem_response(403)},
    route_class=LimitedRoute,
)

VersionQuery = Annotated[str | None, Query(description="A version or its number; the latest when left out")]


@router.post("", status_code=201, response_model=Task)
async def create(asked: TaskDraft, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """A new task: code around a model, the types of what goes in and comes out, and an example. What can be told
    without running it is checked; `POST .../validate` then runs the example."""
    require_sound(parts, asked.content)
    return await _created(request, parts, principal, asked, [])


@router.get("", response_model=TaskPage)
async def list_tasks(
    principal: Principal,
    parts: PartsDependency,
    q: Annotated[str | None, Query(min_length=1, max_length=200, description="Text in name or description")] = None,
    tag: Annotated[str | None, Query(max_length=40)] = None,
    mine: Annotated[bool, Query(description="Only your own")] = False,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Response:
    """Tasks of yours and public ones, last changed first."""
    asked = {"q": q, "tag": tag, "mine": "true" if mine else None}
    wanted = TaskFilter(principal, q, tag, mine)

    async def find(count: int, behind: Behind) -> list[TaskDocument]:
        return [TaskDocument.model_validate(row) for row in await tasks.page(parts.database, wanted, count, behind)]

    found, following = await paged(parts, "/v1/tasks", asked, limit, cursor, find, lambda task: task.updated_at)
    return _json(TaskPage(items=await summaries(parts, found), next=following))


@router.get("/{task}", response_model=Task)
async def get_task(
    task: TaskReference, principal: Principal, parts: PartsDependency, version: VersionQuery = None
) -> Response:
    """A task with its latest version, or with the one that is asked for."""
    return _json(await describe(parts, await find_version(parts, principal, task, version)))


@router.get("/{task}/versions", response_model=list[TaskVersion])
async def list_versions(task: TaskReference, principal: Principal, parts: PartsDependency) -> list[TaskVersion]:
    """Every version, newest first."""
    found = await find_task(parts, principal, task)
    rows = await parts.store.reading(tasks.versions(parts.database, found.id))
    return [described(TaskVersionDocument.model_validate(row)) for row in rows]


@router.get("/{task}/audit", response_model=AuditPage)
async def list_audit(
    task: TaskReference, principal: Principal, parts: PartsDependency, limit: Limit = 50, cursor: str | None = None
) -> Response:
    """Who made and changed it, newest first."""
    found = await find_own(parts, principal, task)
    return await audit_page(parts, audit.OF_TASKS, found.id, f"/v1/tasks/{found.id}/audit", {}, limit, cursor)


@router.put("/{task}", response_model=Task)
async def change(
    task: TaskReference, asked: TaskUpdate, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Change what is given; new content is a new version, and the old ones stay."""
    found = await find_own(parts, principal, task)
    if asked.latest is not None and asked.latest != found.number:
        raise ProblemError("conflict", f"the newest version of {found.name!r} is {found.number}")
    now = datetime.now(UTC)
    fields: dict[str, Any] = asked.model_dump(mode="json", include={"description", "tags", "visibility"})
    fields = {name: value for name, value in fields.items() if value is not None} | {"updated_at": now}
    version = None
    if asked.content is not None:
        require_sound(parts, asked.content, "/content")
        version = versioned(found.id, asked.content, now)
    if not await tasks.change(parts.database, found, fields, version):
        raise ProblemError("conflict", f"somebody else changed {found.name!r} at the same moment")
    detail = {**fields, "updated_at": now.isoformat(), "version": version.version if version else None}
    await note(request, parts, principal, audit.TASK_CHANGED, found.id, detail)
    return _json(await describe(parts, await find_version(parts, principal, found.id, None)))


@router.delete("/{task}", status_code=204)
async def delete(task: TaskReference, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Forget a task. Forks of it have all that they need."""
    found = await find_own(parts, principal, task)
    await tasks.delete(parts.database, found.id, datetime.now(UTC))
    await note(request, parts, principal, audit.TASK_DELETED, found.id, {"name": found.name})
    return Response(status_code=204)


@router.post("/{task}/fork", status_code=201, response_model=Task)
async def fork(
    task: TaskReference, asked: TaskFork, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """A task of your own with the content of this one, private at first. It knows where it comes from."""
    source = await find_version(parts, principal, task, asked.version)
    draft = TaskDraft(
        **dict(source.content),
        name=asked.name,
        description=source.task.description,
        tags=source.task.tags,
        visibility=Visibility.PRIVATE,
    )
    lineage = [*(Ancestor.model_validate(each) for each in source.task.lineage), source.ancestor]
    return await _created(request, parts, principal, draft, lineage)


@router.post("/{task}/run", status_code=202, response_model=Job)
async def run(
    task: TaskReference, asked: TaskRunRequest, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Run a task on inputs, as a job of kind `task.run`. Inputs that do not fit its input schema are refused."""
    earlier = await parts.submission.earlier(request, principal)
    found = await find_version(parts, principal, task, asked.version or earlier.get("version"))
    fitting = Fitting(found.content.input_schema)
    misfits = [
        InvalidField(pointer=f"/inputs/{number}{at}", detail=why)
        for number, each in enumerate(asked.inputs)
        for at, why in fitting.misfits(each)
    ]
    if misfits:
        raise invalid_fields(misfits[:50])
    params = asked.model_dump(exclude={"version"})
    return await parts.submission.of_params(request, principal, TASK_RUN, {**_of(found), **params})


@router.post("/{task}/validate", status_code=202, response_model=Job)
async def validate(
    task: TaskReference, request: Request, principal: Principal, parts: PartsDependency, version: VersionQuery = None
) -> Response:
    """Run the task's example, as a job of kind `task.run` whose result says in `valid` whether an output came that
    fits the output schema and is that of the example, numbers within a thousandth."""
    earlier = await parts.submission.earlier(request, principal)
    found = await find_version(parts, principal, task, version or earlier.get("version"))
    example = found.content.example
    params = {**_of(found), "inputs": [example.input], "expected": [example.output]}
    return await parts.submission.of_params(request, principal, TASK_RUN, params)


async def _created(
    request: Request, parts: Parts, principal: str, draft: TaskDraft, lineage: list[Ancestor]
) -> Response:
    """Raises ProblemError for a name that is taken, StoreUnavailable."""
    made = drafted(principal, draft, lineage)
    if not await tasks.create(parts.database, made.task, made.version):
        raise ProblemError("conflict", f"you have a task {draft.name!r} already: change that, or choose another name")
    detail = {"name": draft.name, "version": made.version.version}
    await note(request, parts, principal, audit.TASK_CREATED, made.task.id, detail)
    found = await describe(parts, await find_version(parts, principal, made.task.id, None))
    headers = {"Location": found.links.self}
    return Response(found.model_dump_json(), 201, headers, "application/json")


def _of(found: Found) -> dict[str, str]:
    return {"task_id": found.task.id, "version": found.version.version}


def _json(found: BaseModel) -> Response:
    return Response(found.model_dump_json(), media_type="application/json")
