"""Operations on the `jobs` collection: the guarded fold, and reads of the projection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson.errors import BSONError
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.results import BulkWriteResult

from schemas.lifecycle import JobState
from storage.database import Database, StoreUnavailable
from storage.documents import JobDocument

_DUPLICATE_KEY = 11000
# What the driver raises for a document that BSON cannot say: too large, an integer beyond 64 bits, a NUL in a name.
_NO_BSON = (BSONError, OverflowError, RecursionError)


@dataclass(frozen=True)
class JobPatch:
    """What one or more events of a job change in its projection.

    `fields` belong to the newest event, at `order`. `birth` are those that only the command knows and that never
    change; None when the command is not among the events.
    """

    job_id: str
    order: int
    fields: dict[str, Any]
    birth: dict[str, Any] | None = None

    def then(self, other: "JobPatch") -> "JobPatch":
        """Both patches as one. The newer one's fields win, whichever of them comes first."""
        older, newer = sorted((self, other), key=lambda patch: patch.order)
        return JobPatch(self.job_id, newer.order, older.fields | newer.fields, self.birth or other.birth)


@dataclass(frozen=True)
class FoldResult:
    """`unfit` patches can never be stored, such as one whose document is too large; the reason stands beside each."""

    unfit: list[tuple[JobPatch, str]] = field(default_factory=list)


class JobProjection:
    """The collection as the ledger writes it."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JobDocument.Settings.name]

    async def fold(self, patches: Sequence[JobPatch]) -> FoldResult:
        """Apply patches of distinct jobs, each only where it is newer than what is stored: so duplicates and
        reordering are harmless and several ledgers may compete.

        New jobs are inserted: on the embedded store an insert costs a quarter of an upsert. An insert that collides
        finds its job known already and becomes a guarded update. Raises StoreUnavailable; then nothing is certain
        and the same patches may be folded again.
        """
        births = [patch for patch in patches if patch.birth is not None]
        others = [patch for patch in patches if patch.birth is None]
        known, unfit = await self._write({patch.job_id: (patch, _insert(patch)) for patch in births})
        _, unfit_updates = await self._write({patch.job_id: (patch, _upsert(patch)) for patch in [*others, *known]})
        # The outcome came before the command, or the command came twice: give the job what only the command knows.
        _, unfit_births = await self._write({patch.job_id: (patch, _fill_birth(patch)) for patch in known})
        return FoldResult([*unfit, *unfit_updates, *unfit_births])

    async def _write(
        self, operations: dict[str, tuple[JobPatch, InsertOne[dict[str, Any]] | UpdateOne]]
    ) -> tuple[list[JobPatch], list[tuple[JobPatch, str]]]:
        """Returns the patches that collided on `_id`, and those that the server refused with its reasons."""
        if not operations:
            return [], []
        ordered = list(operations.values())
        try:
            await self._bulk([operation for _, operation in ordered])
        except BulkWriteError as error:
            failures = [(ordered[item["index"]][0], item) for item in error.details["writeErrors"]]
            collided = [patch for patch, item in failures if item["code"] == _DUPLICATE_KEY]
            unfit = [(patch, str(item["errmsg"])) for patch, item in failures if item["code"] != _DUPLICATE_KEY]
            return collided, unfit
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error
        except _NO_BSON as error:
            return await self._write_apart(list(operations.items()), error)
        return [], []

    async def _write_apart(
        self, operations: list[tuple[str, tuple[JobPatch, InsertOne[dict[str, Any]] | UpdateOne]]], error: Exception
    ) -> tuple[list[JobPatch], list[tuple[JobPatch, str]]]:
        """One of these cannot even be sent: halve them until it stands alone."""
        if len(operations) == 1:
            return [], [(operations[0][1][0], str(error))]
        middle = len(operations) // 2
        left, right = await self._write(dict(operations[:middle])), await self._write(dict(operations[middle:]))
        return left[0] + right[0], left[1] + right[1]

    async def _bulk(self, operations: list[InsertOne[dict[str, Any]] | UpdateOne]) -> BulkWriteResult:
        return await self._jobs.bulk_write(operations, ordered=False)


def _insert(patch: JobPatch) -> InsertOne[dict[str, Any]]:
    return InsertOne({"_id": patch.job_id, "order": patch.order, **patch.fields, **(patch.birth or {})})


def _upsert(patch: JobPatch) -> UpdateOne:
    """When the guard fails the upsert collides on `_id`: what is stored is newer already."""
    created = {} if patch.birth else {"created_at": patch.fields["updated_at"]}
    return UpdateOne(
        {"_id": patch.job_id, "order": {"$lt": patch.order}},
        {"$set": {"order": patch.order, **patch.fields}, "$setOnInsert": created},
        upsert=True,
    )


def _fill_birth(patch: JobPatch) -> UpdateOne:
    return UpdateOne({"_id": patch.job_id, "dataschema": {"$exists": False}}, {"$set": patch.birth})


@dataclass(frozen=True)
class JobFilter:
    status: JobState | None = None
    kind: str | None = None
    created_after: datetime | None = None

    def query(self) -> dict[str, Any]:
        exact = {"status": self.status, "kind": self.kind}
        query: dict[str, Any] = {name: value for name, value in exact.items() if value is not None}
        if self.created_after is not None:
            query["created_at"] = {"$gt": self.created_after}
        return query


async def get(job_id: str) -> JobDocument | None:
    """Raises StoreUnavailable."""
    try:
        return await JobDocument.get(job_id)
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def page(wanted: JobFilter, limit: int, after: tuple[datetime, str] | None) -> list[JobDocument]:
    """Newest first, from behind `after` = (created_at, id): stable while jobs are added. Raises StoreUnavailable."""
    query = wanted.query()
    if after is not None:
        created_at, job_id = after
        behind = [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": job_id}}]
        query = {"$and": [query, {"$or": behind}]}
    try:
        return await JobDocument.find(query).sort("-created_at", "-_id").limit(limit).to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
