"""Tasks: found by what a client calls them, shown as resources."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path

from gateway.dependencies import Parts
from gateway.problems import ProblemError, invalid_fields
from producers.tasks import faults, task_id_of, version_of
from schemas.problems import InvalidField
from schemas.tasks import Ancestor, Task, TaskContent, TaskDraft, TaskLinks, TaskSummary, TaskVersion
from storage import tasks
from storage.documents import TaskDocument, TaskVersionDocument

TaskReference = Annotated[str, Path(description="The id of a task, or the name of one of yours")]


@dataclass(frozen=True)
class Found:
    """A version of a task."""

    task: TaskDocument
    version: TaskVersionDocument

    @property
    def content(self) -> TaskContent:
        return TaskContent.model_validate_json(self.version.content)

    @property
    def ancestor(self) -> Ancestor:
        return Ancestor(
            task_id=self.task.id,
            name=self.task.name,
            principal=self.task.principal,
            version=self.version.version,
            number=self.version.number,
        )


async def find_task(parts: Parts, principal: str, task: str) -> TaskDocument:
    """By id, also of another's that is public; or by name, of their own. Raises ProblemError, StoreUnavailable."""
    for task_id in (task_id_of(principal, task), task):
        found = await parts.store.reading(tasks.find(parts.database, task_id, principal))
        if found is not None:
            document: TaskDocument = TaskDocument.model_validate(found)
            return document
    raise ProblemError("not-found", f"there is no task {task!r}")


async def find_own(parts: Parts, principal: str, task: str) -> TaskDocument:
    """One that they may change. Raises ProblemError, StoreUnavailable."""
    found = await find_task(parts, principal, task)
    if found.principal != principal:
        raise ProblemError(
            "not-yours", f"{found.name!r} is another's; POST /v1/tasks/{found.id}/fork makes one of yours"
        )
    return found


async def find_version(parts: Parts, principal: str, task: str, version: str | None) -> Found:
    """By version or its number; the latest for None. Raises ProblemError, StoreUnavailable."""
    found = await find_task(parts, principal, task)
    chosen = await parts.store.reading(tasks.version(parts.database, found.id, version or found.latest))
    if chosen is None:
        raise ProblemError("not-found", f"{found.name!r} has no version {version!r}")
    return Found(found, TaskVersionDocument.model_validate(chosen))


def drafted(principal: str, draft: TaskDraft, lineage: Sequence[Ancestor]) -> Found:
    """The documents of a new task."""
    now, task_id = datetime.now(UTC), task_id_of(principal, draft.name)
    version = versioned(task_id, draft.content, now)
    task = TaskDocument(
        id=task_id,
        name=draft.name,
        principal=principal,
        description=draft.description,
        tags=draft.tags,
        visibility=draft.visibility.value,
        created_at=now,
        updated_at=now,
        latest=version.version,
        number=1,
        lineage=[each.model_dump() for each in lineage],
    )
    return Found(task, version)


def versioned(task_id: str, content: TaskContent, at: datetime) -> TaskVersionDocument:
    version = version_of(content)
    return TaskVersionDocument(
        id=f"{task_id}.{version}",
        task_id=task_id,
        version=version,
        number=1,
        created_at=at,
        content=content.model_dump_json(),
    )


def require_sound(parts: Parts, content: TaskContent, at: str = "") -> None:
    """Raises ProblemError naming every fault that can be told without running it."""
    found = [InvalidField(pointer=at + each.pointer, detail=each.detail) for each in faults(content, parts.lint)]
    if found:
        raise invalid_fields(found)


async def summaries(parts: Parts, found: Sequence[TaskDocument]) -> list[TaskSummary]:
    """Raises StoreUnavailable."""
    used = await parts.store.reading(tasks.uses(parts.database, [task.id for task in found]))
    return [TaskSummary.model_validate(_common(task, used[task.id])) for task in found]


async def describe(parts: Parts, found: Found) -> Task:
    """Raises StoreUnavailable."""
    used = await parts.store.reading(tasks.uses(parts.database, [found.task.id]))
    return Task.model_validate({**_common(found.task, used[found.task.id]), "version": described(found.version)})


def described(document: TaskVersionDocument) -> TaskVersion:
    content = TaskContent.model_validate_json(document.content)
    fields = ("version", "number", "created_at")
    return TaskVersion(**{name: getattr(document, name) for name in fields}, content=content)


def _common(document: TaskDocument, uses: int) -> dict[str, Any]:
    at = f"/v1/tasks/{document.id}"
    links = {"versions": f"{at}/versions", "run": f"{at}/run", "example": f"{at}/validate"}
    omitted = {"schema_version", "number", "deleted_at", "revision_id"}
    return {**document.model_dump(exclude=omitted), "uses": uses, "links": TaskLinks(self=at, **links)}
