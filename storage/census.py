"""Counting what the store holds: jobs, leases and dead letters by state, and the jobs that have not ended.

Past Beanie, so that a command line can look without preparing documents first. What runs again and again asks for
live jobs only, through the status index: those that have ended are nearly all.
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from schemas.lifecycle import JobError, JobState
from storage.database import Database, StoreUnavailable
from storage.documents import (
    DeadLetterDocument,
    JobDocument,
    LeaseDocument,
    LeaseState,
    LetterState,
    StoredClaim,
)

LIVE = (JobState.QUEUED, JobState.RUNNING)
_UNFINISHED = [state.value for state in LeaseState if state is not LeaseState.DONE]
_WITHOUT_PARAMS = {"params": 0, "progress": 0, "result": 0}
_BATCH = 500


class StoredJob(BaseModel):
    """What a job's document says of its position and of its command."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    status: JobState
    principal: str
    generation: int = 0
    attempt: int = 1
    created_at: datetime
    updated_at: datetime
    deadline: datetime | None = None
    retry_at: datetime | None = None
    worker: str | None = None
    dataschema: str | None = None
    params: dict[str, Any] | None = None
    params_claim: StoredClaim | None = None
    error: JobError | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    cache_control: str | None = None

    @property
    def position(self) -> tuple[JobState, int, int, datetime]:
        """Differs once anything has happened to the job."""
        return self.status, self.generation, self.attempt, self.updated_at


class EndedJob(BaseModel):
    """What a job was asked and made."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    kind: str
    principal: str
    started_at: datetime | None = None
    finished_at: datetime
    dataschema: str | None = None
    params: dict[str, Any] | None = None
    params_claim: StoredClaim | None = None
    result: dict[str, Any] | None = None
    result_claim: StoredClaim | None = None


class StoredLease(BaseModel):
    """Who holds a long job, and the command that it came by."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    generation: int
    attempt: int
    epoch: int
    lapses: int = 0
    state: LeaseState
    worker: str
    claimed_at: datetime
    heartbeat_at: datetime
    expires_at: datetime | None = None
    headers: dict[str, Any]
    body: bytes


@dataclass(frozen=True)
class KeptLetter:
    """A dead letter of a job: the message as it was given up, and why."""

    id: str
    kind: str
    queue: str
    reason: str
    error_type: str
    error_detail: str
    fingerprint: str
    died_at: datetime
    headers: dict[str, Any]
    body: bytes | None
    body_claim: StoredClaim | None


async def count_jobs(database: Database, states: Iterable[JobState] = JobState) -> Counter[tuple[str, JobState]]:
    """By kind and state. Raises StoreUnavailable."""
    found: Counter[tuple[str, JobState]] = Counter()
    with _reading():
        for state in states:  # one by one, since the embedded store uses an index for equality only
            stages: list[dict[str, Any]] = [
                {"$match": {"status": state.value}},
                {"$group": {"_id": "$kind", "count": {"$sum": 1}}},
            ]
            async for row in await _jobs(database).aggregate(stages):
                found[row["_id"], state] = row["count"]
    return found


async def quiet_jobs(
    database: Database, kinds: Sequence[str], before: datetime
) -> AsyncGenerator[list[StoredJob], None]:
    """Live jobs of these kinds of which nothing was heard since, in batches and without their parameters. Raises
    StoreUnavailable."""
    if not kinds:
        return
    with _reading():
        for state in LIVE:
            query = {"status": state.value, "updated_at": {"$lt": before}, "kind": {"$in": list(kinds)}}
            cursor = _jobs(database).find(query, _WITHOUT_PARAMS, batch_size=_BATCH)
            batch = []
            async for row in cursor:
                batch.append(_model(StoredJob, row))
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
            if batch:
                yield batch


async def jobs_by_id(database: Database, job_ids: Sequence[str], *, params: bool) -> dict[str, StoredJob]:
    """With or without their parameters. Raises StoreUnavailable."""
    found = {}
    with _reading():
        for batch in _batches(job_ids):
            async for row in _jobs(database).find({"_id": {"$in": batch}}, None if params else _WITHOUT_PARAMS):
                found[row["_id"]] = _model(StoredJob, row)
    return found


async def count_ahead(database: Database, kind: str, created_at: datetime, limit: int) -> int:
    """Queued jobs of a kind that were accepted earlier, counted up to `limit`. Raises StoreUnavailable."""
    query = {"status": JobState.QUEUED.value, "created_at": {"$lt": created_at}, "kind": kind}
    with _reading():
        return await _jobs(database).count_documents(query, limit=limit)


async def succeeded(
    database: Database, kinds: Sequence[str], among: Sequence[str] | None = None, *, in_order: bool = False
) -> AsyncIterator[EndedJob]:
    """Jobs of these kinds, all of them or those among these ids, with what they made; `in_order` the first to end
    first. Raises StoreUnavailable."""
    query: dict[str, Any] = {"status": JobState.SUCCEEDED.value, "kind": {"$in": list(kinds)}}
    if among is not None:
        query["_id"] = {"$in": list(among)}
    names = [name for name in EndedJob.model_fields if name != "id"]
    with _reading():
        found = _jobs(database).find(query, dict.fromkeys(names, 1))
        async for row in found.sort("finished_at", 1) if in_order else found:
            yield _model(EndedJob, row)


async def leases_of(database: Database, job_ids: Sequence[str]) -> dict[str, StoredLease]:
    """The unfinished leases of these jobs. Raises StoreUnavailable."""
    found = {}
    with _reading():
        for batch in _batches(job_ids):
            async for row in _leases(database).find({"_id": {"$in": batch}, "state": {"$in": _UNFINISHED}}):
                found[row["_id"]] = _model(StoredLease, row)
    return found


async def unfinished_leases(database: Database) -> AsyncIterator[StoredLease]:
    """Raises StoreUnavailable."""
    with _reading():
        async for row in _leases(database).find({"state": {"$in": _UNFINISHED}}):
            yield _model(StoredLease, row)


async def count_leases(database: Database) -> Counter[LeaseState]:
    """Raises StoreUnavailable."""
    return Counter({LeaseState(state): count for state, count in await _by_state(_leases(database))})


async def count_letters(database: Database) -> Counter[LetterState]:
    """Raises StoreUnavailable."""
    return Counter({LetterState(state): count for state, count in await _by_state(_letters(database))})


async def dead_without_letter(database: Database, limit: int) -> list[str]:
    """Jobs that are dead though no letter tells why. Raises StoreUnavailable."""
    without: list[str] = []
    with _reading():
        rows = await _jobs(database).find({"status": JobState.DEAD.value}, {"_id": 1}).to_list()
        for batch in _batches([row["_id"] for row in rows]):
            told = await _letters(database).distinct("job_id", {"job_id": {"$in": batch}})
            without += set(batch) - set(told)
    return sorted(without)[:limit]


async def leases_without_job(database: Database, limit: int) -> list[str]:
    """Unfinished leases of jobs that the projection does not know. Raises StoreUnavailable."""
    with _reading():
        rows = await _leases(database).find({"state": {"$in": _UNFINISHED}}, {"_id": 1}).to_list()
        leased = [row["_id"] for row in rows]
        known: set[str] = set()
        for batch in _batches(leased):
            async for row in _jobs(database).find({"_id": {"$in": batch}}, {"_id": 1}):
                known.add(row["_id"])
    return sorted(set(leased) - known)[:limit]


async def letters_of_jobs(database: Database) -> AsyncIterator[KeptLetter]:
    """Without those that were replayed: what came of their jobs then, they do not know. Raises StoreUnavailable."""
    kept = {"$in": [state.value for state in LetterState if state is not LetterState.REPLAYED]}
    names = (
        "kind",
        "queue",
        "reason",
        "error_type",
        "error_detail",
        "fingerprint",
        "died_at",
        "headers",
        "body",
        "body_claim",
    )
    with _reading():
        async for row in _letters(database).find({"state": kept, "job_id": {"$ne": None}}):
            claim = row.get("body_claim")
            given = {name: row.get(name) for name in names} | {"body_claim": claim and StoredClaim(**claim)}
            yield KeptLetter(id=row["_id"], **given)


async def _by_state(collection: AsyncCollection[dict[str, Any]]) -> list[tuple[str, int]]:
    with _reading():
        rows = await (await collection.aggregate([{"$group": {"_id": "$state", "count": {"$sum": 1}}}])).to_list()
    return [(row["_id"], row["count"]) for row in rows]


def _jobs(database: Database) -> AsyncCollection[dict[str, Any]]:
    return database[JobDocument.Settings.name]


def _leases(database: Database) -> AsyncCollection[dict[str, Any]]:
    return database[LeaseDocument.Settings.name]


def _letters(database: Database) -> AsyncCollection[dict[str, Any]]:
    return database[DeadLetterDocument.Settings.name]


def _model(model: Any, row: dict[str, Any]) -> Any:
    return model.model_validate({"id": row["_id"], **row})


def _batches(items: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _BATCH):
        yield list(items[start : start + _BATCH])


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
