"""Operations on the `jobs` collection: the guarded fold, and reads of the projection."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, cast

from bson.errors import BSONError
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from schemas.lifecycle import JobState
from storage.database import Database, StoreUnavailable
from storage.documents import DeadlineDocument, JobDocument

_DUPLICATE_KEY = 11000
# Codes by which MongoDB says that a document can never be stored: malformed, too deep, too large, refused by a
# validator. (src/mongo/base/error_codes.yml; 10334, 17419 and 17420 are sizes.)
UNFIT = frozenset({2, 9, 14, 15, 22, *range(52, 58), 121, 10334, 17419, 17420})
# What the driver raises for a document that BSON cannot say: too large, an integer beyond 64 bits, a NUL in a name.
NO_BSON = (BSONError, OverflowError, RecursionError)


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

    @property
    def is_new(self) -> bool:
        """Whether the projection hardly knows the job yet: a replay has the command as well, of a job that died."""
        return self.birth is not None and not self.fields["generation"]

    def then(self, other: "JobPatch") -> "JobPatch":
        """Both patches as one. The newer one's fields win, whichever of them comes first. Of two that stand at one
        position, such as two ends of one job, the first is all that happened: as it would be in the store."""
        if self.order == other.order:
            return replace(self, birth=self.birth or other.birth)
        older, newer = sorted((self, other), key=lambda patch: patch.order)
        return JobPatch(self.job_id, newer.order, older.fields | newer.fields, self.birth or other.birth)


_Operation = tuple[JobPatch, InsertOne[dict[str, Any]] | UpdateOne]


@dataclass(frozen=True)
class FoldResult:
    """`unfit` patches can never be stored, such as one whose document is too large; the reason stands beside each."""

    unfit: list[tuple[JobPatch, str]] = field(default_factory=list)


class Standing(NamedTuple):
    """Where the projection has a job."""

    status: JobState
    generation: int
    order: int


class JobProjection:
    """The collection as the ledger writes it."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JobDocument.Settings.name]
        self._deadlines = database[DeadlineDocument.Settings.name]

    async def fold(self, patches: Sequence[JobPatch]) -> FoldResult:
        """Apply patches of distinct jobs, each only where it is newer than what is stored: so duplicates and
        reordering are harmless and several ledgers may compete.

        New jobs are inserted: on the embedded store an insert costs a quarter of an upsert. An insert that collides
        finds its job known already and becomes a guarded update. Raises StoreUnavailable; then nothing is certain
        and the same patches may be folded again.
        """
        births = [patch for patch in patches if patch.is_new]
        others = [patch for patch in patches if not patch.is_new]
        known, unfit = await self._write([(patch, _insert(patch)) for patch in births])
        met, unfit_upserts = await self._write([(patch, _upsert(patch)) for patch in others])
        _, unfit_updates = await self._write([(patch, _update(patch)) for patch in [*known, *met]])
        # The outcome came before the command, or the command came twice: give the job what only the command knows.
        _, unfit_births = await self._write([(patch, _fill_birth(patch)) for patch in [*known, *met] if patch.birth])
        await self._note_deadlines(patches)
        return FoldResult([*unfit, *unfit_upserts, *unfit_updates, *unfit_births])

    async def standing(self, job_id: str) -> Standing | None:
        """None for a job that nobody has told of. Raises StoreUnavailable."""
        try:
            found: Any = await self._jobs.find_one({"_id": job_id}, dict.fromkeys(Standing._fields, 1))
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error
        return Standing(JobState(found["status"]), found["generation"], found["order"]) if found else None

    async def ask_to_finish(self, job_id: str, generation: int) -> None:
        """Beside the fold, since no order stands between this and how far the job is. Raises StoreUnavailable."""
        try:
            await self._jobs.update_one(
                {"_id": job_id, "generation": generation}, {"$set": {"finish_asked": generation}}
            )
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error

    async def finish_asked(self, job_id: str, generation: int) -> bool:
        """Raises StoreUnavailable."""
        try:
            found = await self._jobs.find_one({"_id": job_id}, {"finish_asked": 1})
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error
        return found is not None and found.get("finish_asked") == generation

    async def overdue(self, before: datetime, limit: int) -> list[tuple[str, dict[str, Any] | None]]:
        """Jobs whose deadline was before `before` and that nobody has looked at since: the id, and the document of
        those that still wait. Raises StoreUnavailable."""
        try:
            passed = await self._deadlines.find({"deadline": {"$lt": before}}).limit(limit).to_list()
            ids = [row["_id"] for row in passed]
            waiting = {"_id": {"$in": ids}, "status": JobState.QUEUED.value}
            found: dict[Any, dict[str, Any]] = {row["_id"]: row for row in await self._jobs.find(waiting).to_list()}
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error
        return [(cast("str", job_id), found.get(job_id)) for job_id in ids]

    async def looked_at(self, job_id: str) -> None:
        """Its deadline needs nobody any more. Raises StoreUnavailable."""
        try:
            await self._deadlines.delete_one({"_id": job_id})
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error

    async def _note_deadlines(self, patches: Sequence[JobPatch]) -> None:
        new = [
            (patch.job_id, patch.birth["deadline"]) for patch in patches if patch.birth and "deadline" in patch.birth
        ]
        if not new:
            return
        operations = [UpdateOne({"_id": job_id}, {"$set": {"deadline": at}}, upsert=True) for job_id, at in new]
        try:
            await self._deadlines.bulk_write(operations, ordered=False)
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error

    async def _write(self, ordered: list[_Operation]) -> tuple[list[JobPatch], list[tuple[JobPatch, str]]]:
        """Returns the patches that collided on `_id`, and those that cannot be stored, with the reasons."""
        if not ordered:
            return [], []
        try:
            await self._jobs.bulk_write([operation for _, operation in ordered], ordered=False)
        except NO_BSON as error:
            return await self._isolated(ordered, str(error))
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                raise StoreUnavailable(str(error.details["writeConcernErrors"])) from error
            failures = [(ordered[item["index"]][0], item) for item in error.details["writeErrors"]]
            collided = [patch for patch, item in failures if item["code"] == _DUPLICATE_KEY]
            unfit = [(patch, str(item["errmsg"])) for patch, item in failures if item["code"] in UNFIT]
            if len(collided) + len(unfit) < len(failures):  # something that may pass, such as a full disk
                raise StoreUnavailable(str(failures)) from error
            return collided, unfit
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error
        return [], []

    async def _isolated(
        self, ordered: list[_Operation], reason: str
    ) -> tuple[list[JobPatch], list[tuple[JobPatch, str]]]:
        """One of these cannot even be sent: halve them until it stands alone."""
        if len(ordered) == 1:
            return [], [(ordered[0][0], reason)]
        middle = len(ordered) // 2
        collided, unfit = await self._write(ordered[:middle])
        more_collided, more_unfit = await self._write(ordered[middle:])
        return [*collided, *more_collided], [*unfit, *more_unfit]


def _insert(patch: JobPatch) -> InsertOne[dict[str, Any]]:
    fields = {name: value for name, value in patch.fields.items() if value is not None}
    return InsertOne({"_id": patch.job_id, "order": patch.order, **fields, **(patch.birth or {})})


def _upsert(patch: JobPatch) -> UpdateOne:
    """For a job that is replayed, or whose command has not come yet. A collision on `_id` only says that the job is
    there: either it is newer, or it appeared between this operation's look and its write. So an update follows."""
    birth = {"created_at": patch.fields["updated_at"]} | (patch.birth or {})
    born = {name: value for name, value in birth.items() if name not in patch.fields}
    return UpdateOne(
        {"_id": patch.job_id, "order": {"$lt": patch.order}},
        {"$set": {"order": patch.order, **patch.fields}, "$setOnInsert": born},
        upsert=True,
    )


def _update(patch: JobPatch) -> UpdateOne:
    """For a job that is there: matching nothing means that it is newer already."""
    return UpdateOne(
        {"_id": patch.job_id, "order": {"$lt": patch.order}}, {"$set": {"order": patch.order, **patch.fields}}
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


async def several(job_ids: Sequence[str]) -> list[JobDocument]:
    """Those that are there, in no order. Raises StoreUnavailable."""
    try:
        return await JobDocument.find({"_id": {"$in": list(job_ids)}}).to_list()
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


async def outline(database: Database, job_id: str) -> dict[str, Any] | None:
    """The document without its parameters, past Beanie, for workers. Raises StoreUnavailable."""
    try:
        found = await database[JobDocument.Settings.name].find_one({"_id": job_id}, {"params": 0, "progress": 0})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    return None if found is None else dict(found)


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
