"""Operations on the `schedule` collection: commands that wait longer than in any delay tier, each with the time from
when it may be published. One per job, which has one next attempt."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import Binary

from storage.database import Database
from storage.documents import ScheduledDocument
from storage.shelves import reading


@dataclass(frozen=True)
class Scheduled:
    job_id: str
    attempt: tuple[int, int]
    """Generation and attempt."""
    not_before: datetime
    queue: str
    headers: dict[str, Any]
    body: bytes


async def put(database: Database, found: Scheduled) -> None:
    """In place of an earlier attempt of the job. Raises StoreUnavailable."""
    fields = {"not_before": found.not_before, "queue": found.queue, "attempt": list(found.attempt)}
    document = {"_id": found.job_id, "schema_version": 1, **fields, "headers": found.headers}
    with reading():
        await _schedule(database).replace_one(
            {"_id": found.job_id}, {**document, "body": Binary(found.body)}, upsert=True
        )


async def due(database: Database, now: datetime, limit: int) -> list[Scheduled]:
    """Those that may be published, the longest due first. Raises StoreUnavailable."""
    with reading():
        rows = await _schedule(database).find({"not_before": {"$lte": now}}).sort("not_before", 1).to_list(limit)
    return [
        Scheduled(
            job_id=row["_id"],
            attempt=(row["attempt"][0], row["attempt"][1]),
            not_before=row["not_before"],
            queue=row["queue"],
            headers=row["headers"],
            body=bytes(row["body"]),
        )
        for row in rows
    ]


async def remove(database: Database, found: Scheduled) -> None:
    """Unless a later attempt has taken its place. Raises StoreUnavailable."""
    with reading():
        await _schedule(database).delete_one({"_id": found.job_id, "attempt": list(found.attempt)})


def _schedule(database: Database) -> Any:
    return database[ScheduledDocument.Settings.name]
