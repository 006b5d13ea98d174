"""Operations on tasks, which people make and change; only how often one was used follows from results of jobs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from storage.database import Database
from storage.documents import TaskDocument, TaskUseDocument, TaskVersionDocument
from storage.shelves import reading, writing

PUBLIC = "public"


@dataclass(frozen=True)
class TaskFilter:
    principal: str
    """Who asks: theirs and what is public."""
    text: str | None = None
    """In name or description; case does not matter."""
    tag: str | None = None
    mine: bool = False


async def create(database: Database, task: TaskDocument, version: TaskVersionDocument) -> bool:
    """False when the owner has one of this name. A deleted one begins again, and goes on counting versions. Raises
    Unfit, StoreUnavailable."""
    with writing():
        if await _tasks(database).find_one({"_id": task.id, "deleted_at": None}, {"_id": 1}):
            return False
        # The version first: whoever sees the task must find it.
        kept = await _add_version(database, version)
        fields = _fields(task) | {"number": kept["number"]}
        try:
            await _tasks(database).insert_one({"_id": task.id, **fields})
        except DuplicateKeyError:
            again = await _tasks(database).update_one(
                {"_id": task.id, "deleted_at": {"$ne": None}}, {"$set": fields | {"deleted_at": None}}
            )
            return bool(again.matched_count)
    return True


async def change(
    database: Database, task: TaskDocument, fields: Mapping[str, Any], version: TaskVersionDocument | None
) -> bool:
    """False when it is not as `task` says any more. Raises Unfit, StoreUnavailable."""
    changes = dict(fields)
    with writing():
        if version is not None:
            kept = await _add_version(database, version)
            changes |= {"latest": version.version, "number": kept["number"]}
        done = await _tasks(database).update_one(
            {"_id": task.id, "deleted_at": None, "updated_at": task.updated_at}, {"$set": changes}
        )
    return bool(done.matched_count)


async def delete(database: Database, task_id: str, at: datetime) -> None:
    """Nobody finds it or runs it any more; forks of it have what they need. Raises StoreUnavailable."""
    with reading():
        await _tasks(database).update_one(
            {"_id": task_id, "deleted_at": None}, {"$set": {"deleted_at": at, "updated_at": at}}
        )


async def find(database: Database, task_id: str, principal: str) -> dict[str, Any] | None:
    """The document, of a task that is theirs or public. Past Beanie, so that a worker need not prepare documents
    first. Raises StoreUnavailable."""
    with reading():
        found: dict[str, Any] | None = await _tasks(database).find_one({"_id": task_id, "deleted_at": None})
    visible = found is not None and (found["principal"] == principal or found["visibility"] == PUBLIC)
    return found if visible else None


async def version(database: Database, task_id: str, version: str) -> dict[str, Any] | None:
    """By version, or by its number. Raises StoreUnavailable."""
    query: dict[str, Any] = {"_id": f"{task_id}.{version}"}
    if version.isdecimal() and len(version) < 10:  # a version may consist of digits, but has twelve
        query = {"task_id": task_id, "number": int(version)}
    with reading():
        found: dict[str, Any] | None = await _versions(database).find_one(query)
    return found


async def versions(database: Database, task_id: str) -> list[dict[str, Any]]:
    """Newest first. Raises StoreUnavailable."""
    with reading():
        found: list[dict[str, Any]] = (
            await _versions(database).find({"task_id": task_id}).sort("number", -1).to_list()
        )
    return found


async def page(
    database: Database, wanted: TaskFilter, limit: int, after: tuple[datetime, str] | None
) -> list[dict[str, Any]]:
    """Last changed first. Raises StoreUnavailable."""
    conditions: list[dict[str, Any]] = [{"deleted_at": None}, {"principal": wanted.principal}]
    if not wanted.mine:
        conditions[1] = {"$or": [{"principal": wanted.principal}, {"visibility": PUBLIC}]}
    if wanted.tag is not None:
        conditions.append({"tags": wanted.tag})
    if wanted.text is not None:
        # By regular expression, since the embedded store has no text index.
        text = {"$regex": re.escape(wanted.text), "$options": "i"}
        conditions.append({"$or": [{"name": text}, {"description": text}]})
    if after is not None:
        at, task_id = after
        conditions.append({"$or": [{"updated_at": {"$lt": at}}, {"updated_at": at, "_id": {"$lt": task_id}}]})
    with reading():
        found: list[dict[str, Any]] = (
            await _tasks(database)
            .find({"$and": conditions})
            .sort([("updated_at", -1), ("_id", -1)])
            .limit(limit)
            .to_list()
        )
    return found


async def note_use(database: Database, ran: Mapping[str, Any], *, job_id: str, at: datetime) -> None:
    """Once for a job, however often. Raises Unfit, StoreUnavailable."""
    fields = {"schema_version": 1, "task_id": ran["task_id"], "version": ran["version"], "at": at}
    with writing():
        await _uses(database).update_one({"_id": job_id}, {"$setOnInsert": fields}, upsert=True)


async def uses(database: Database, task_ids: Sequence[str]) -> dict[str, int]:
    """How many runs have succeeded, by task. Raises StoreUnavailable."""
    with reading():
        return {task_id: await _uses(database).count_documents({"task_id": task_id}) for task_id in task_ids}


async def _add_version(database: Database, version: TaskVersionDocument) -> dict[str, Any]:
    """Under the next number, or as it is there already. Returns what is there."""
    versions = _versions(database)
    while True:
        found: dict[str, Any] | None = await versions.find_one({"_id": version.id})
        if found is not None:
            return found
        last = await versions.find_one({"task_id": version.task_id}, sort=[("number", -1)])
        document = _fields(version) | {"_id": version.id, "number": 1 + int(last["number"] if last else 0)}
        try:
            await versions.insert_one(document)
        except DuplicateKeyError:  # somebody else took the number
            continue


def _fields(document: TaskDocument | TaskVersionDocument) -> dict[str, Any]:
    fields: dict[str, Any] = document.model_dump(exclude={"id", "revision_id"})
    return fields


def _tasks(database: Database) -> Any:
    return database[TaskDocument.Settings.name]


def _versions(database: Database) -> Any:
    return database[TaskVersionDocument.Settings.name]


def _uses(database: Database) -> Any:
    return database[TaskUseDocument.Settings.name]
