"""Operations on the `audit` collection: who did what to dead letters, models and tasks. Entries are never changed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pymongo.errors import DuplicateKeyError, PyMongoError

from storage.database import Database, StoreUnavailable
from storage.documents import AuditDocument, AuditEntry

REPLAY_STARTED = "replay-started"
REPLAY_ENDED = "replay-ended"
EDITED = "edited"
DISCARDED = "discarded"
OF_LETTERS = (REPLAY_STARTED, REPLAY_ENDED, EDITED, DISCARDED)
ALIAS_MOVED = "alias-moved"
ARCHIVED = "archived"
UNARCHIVED = "unarchived"
VERSION_DELETED = "version-deleted"
MODEL_DELETED = "model-deleted"
TASK_CREATED = "task-created"
TASK_CHANGED = "task-changed"
TASK_DELETED = "task-deleted"
OF_TASKS = (TASK_CREATED, TASK_CHANGED, TASK_DELETED)
OF_MODELS = (ALIAS_MOVED, ARCHIVED, UNARCHIVED, VERSION_DELETED, MODEL_DELETED)
_MANY_REPLAYS = 1_000


def entry(
    action: str,
    target: str,
    *,
    actor: str,
    detail: Mapping[str, Any],
    request_id: str | None = None,
    entry_id: str | None = None,
) -> AuditEntry:
    """`entry_id` makes an entry that is added once, however often whoever makes it starts again."""
    return AuditEntry(
        id=entry_id or uuid4().hex,
        at=datetime.now(UTC),
        actor=actor,
        action=action,
        target=target,
        detail=dict(detail),
        request_id=request_id,
    )


def replay_entry_id(job_id: str, generation: int, what: str) -> str:
    return f"{job_id}.{generation}.{what}"


async def get(database: Database, entry_id: str) -> AuditEntry | None:
    """Raises StoreUnavailable."""
    try:
        found = await database[AuditDocument.Settings.name].find_one({"_id": entry_id})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return None if found is None else AuditEntry.model_validate(found)


async def add(database: Database, made: AuditEntry) -> AuditEntry:
    """The entry as it stands, which is the earlier one if there was one with its id. Raises StoreUnavailable."""
    audit = database[AuditDocument.Settings.name]
    try:
        await audit.insert_one(made.model_dump(by_alias=True))
    except DuplicateKeyError:
        return AuditEntry.model_validate(await audit.find_one({"_id": made.id}))
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return made


async def page(
    database: Database,
    actions: Sequence[str],
    target: str | None,
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> list[AuditEntry]:
    """Newest first, from behind `after` = (at, id). Raises StoreUnavailable."""
    conditions: dict[str, Any] = {"action": {"$in": list(actions)}}
    if target is not None:
        conditions["target"] = target
    if after is not None:
        at, entry_id = after
        conditions["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": entry_id}}]
    audit = database[AuditDocument.Settings.name]
    try:
        rows = await audit.find(conditions).sort([("at", -1), ("_id", -1)]).limit(limit).to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return [AuditEntry.model_validate(row) for row in rows]


async def decisions(database: Database) -> list[AuditEntry]:
    """What people decided about models, oldest first. Raises StoreUnavailable."""
    audit = database[AuditDocument.Settings.name]
    try:
        rows = await audit.find({"action": {"$in": list(OF_MODELS)}}).sort("at", 1).to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return [AuditEntry.model_validate(row) for row in rows]


async def unfinished_replays(database: Database) -> list[AuditEntry]:
    """The entries of replays that started and have not ended, among the newest. Raises StoreUnavailable."""
    audit = database[AuditDocument.Settings.name]
    try:
        rows = (
            await audit.find({"action": {"$in": [REPLAY_STARTED, REPLAY_ENDED]}})
            .sort("at", -1)
            .limit(_MANY_REPLAYS)
            .to_list()
        )
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    entries = [AuditEntry.model_validate(row) for row in rows]
    ended = {_run(found) for found in entries if found.action == REPLAY_ENDED}
    return [found for found in entries if found.action == REPLAY_STARTED and _run(found) not in ended]


def _run(found: AuditEntry) -> tuple[str, Any]:
    """A replay that is itself replayed runs once in each generation."""
    return found.target, found.detail.get("generation")
