"""Operations on the `workers` collection: the roster of consumer processes, each described by itself.

Past Beanie, so that a process can report itself, and a command line look, without preparing documents first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import PyMongoError

from storage.database import Database, StoreUnavailable
from storage.documents import WorkerDocument

GONE_AFTER_S = 15.0
"""A worker that was silent for longer is gone. It reports every five seconds."""
_REMEMBERED_S = 3600.0


@dataclass(frozen=True)
class WorkerReport:
    """What a consumer process says of itself; the fields are those of `WorkerDocument`."""

    worker: str
    host: str
    code_version: str
    pools: list[str]
    started_at: datetime
    heartbeat_at: datetime
    status: dict[str, Any]

    def age_s(self, now: datetime) -> float:
        return (now - self.heartbeat_at).total_seconds()

    def alive(self, now: datetime) -> bool:
        return self.age_s(now) <= GONE_AFTER_S

    def of_kind(self, kind: str) -> dict[str, Any] | None:
        """What its pools say of a kind that it runs; None when it does not."""
        for pool in self.status.values():
            if isinstance(pool, Mapping) and isinstance(pool.get(kind), Mapping):
                return dict(pool[kind])
        return None


async def report(database: Database, found: WorkerReport) -> None:
    """Raises StoreUnavailable."""
    fields = dict(vars(found))
    document = {"_id": fields.pop("worker"), "schema_version": 1, **fields}
    try:
        await _workers(database).replace_one({"_id": found.worker}, document, upsert=True)
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def remove(database: Database, worker: str) -> None:
    """Raises StoreUnavailable."""
    try:
        await _workers(database).delete_one({"_id": worker})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def roster(database: Database, now: datetime | None = None) -> list[WorkerReport]:
    """Everybody who reported within the last hour, the gone ones included. Raises StoreUnavailable."""
    since = (now or datetime.now(UTC)) - timedelta(seconds=_REMEMBERED_S)
    try:
        rows = await _workers(database).find({"heartbeat_at": {"$gt": since}}).to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return [_report_of(row) for row in rows]


def _report_of(row: dict[str, Any]) -> WorkerReport:
    names = ("host", "code_version", "pools", "started_at", "heartbeat_at", "status")
    return WorkerReport(worker=row["_id"], **{name: row[name] for name in names})


def _workers(database: Database) -> Any:
    return database[WorkerDocument.Settings.name]
