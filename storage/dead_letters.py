"""Operations on the `dead_letters` collection, past Beanie: a replay goes through letters by the thousand."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, PyMongoError

from schemas.dead_letters import LetterFilter
from schemas.lifecycle import JobState
from storage.database import Database, StoreUnavailable
from storage.documents import DeadLetterDocument, JobDocument, Letter, LetterEdit, LetterState, WorkerDocument
from storage.letter_selection import Window, Windows, both, query, within

_Rows = AsyncCollection[dict[str, Any]]

_DUPLICATE_KEY = 11000
_AT_ONCE = 1_000  # letters in one update: half a second of the embedded store, an operation gives up after five


@dataclass(frozen=True)
class Outline:
    """What planning a replay needs to know of a letter."""

    id: str
    fingerprint: str
    died_at: datetime
    queue: str
    kind: str | None


@dataclass(frozen=True)
class Fate:
    """How the job of a letter stands."""

    status: JobState
    generation: int
    updated_at: datetime
    fingerprint: str | None
    detail: str
    """Of what went wrong last."""


@dataclass(frozen=True)
class Standing:
    """How far a replay has come."""

    taken: int
    canaries: int
    last: int | None
    """The step in which it took letters last; 0 is that of the canaries."""


@dataclass(frozen=True)
class Group:
    """Letters with one fingerprint. Type and detail are those of one of them."""

    fingerprint: str
    count: int
    first_seen: datetime
    last_seen: datetime
    error_type: str
    error_detail: str
    reasons: list[str]
    kinds: list[str]
    new: int


class LetterStore:
    """Everything here raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._letters: _Rows = cast("_Rows", database[DeadLetterDocument.Settings.name])
        self._jobs: _Rows = cast("_Rows", database[JobDocument.Settings.name])
        self._workers: _Rows = cast("_Rows", database[WorkerDocument.Settings.name])

    async def add(self, letters: Sequence[Letter]) -> None:
        """Store letters once, however often they are delivered. Raises ValueError for what BSON cannot say."""
        documents = [_document(letter) for letter in letters]
        with _store_errors():
            try:
                await self._letters.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                others = [failure for failure in failures if failure["code"] != _DUPLICATE_KEY]
                if others or error.details["writeConcernErrors"]:
                    raise

    async def get(self, letter_id: str) -> Letter | None:
        with _store_errors():
            found = await self._letters.find_one({"_id": letter_id})
        return None if found is None else Letter.model_validate(found)

    async def page(
        self,
        wanted: LetterFilter,
        states: Sequence[LetterState],
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> list[Letter]:
        """Newest first, from behind `after` = (died_at, id): stable while letters are added."""
        conditions = query(wanted, states)
        if after is not None:
            died_at, letter_id = after
            behind = [{"died_at": {"$lt": died_at}}, {"died_at": died_at, "_id": {"$lt": letter_id}}]
            conditions = {"$and": [conditions, {"$or": behind}]}
        with _store_errors():
            newest = self._letters.find(conditions).sort([("died_at", -1), ("_id", -1)]).limit(limit)
            return [Letter.model_validate(document) for document in await newest.to_list()]

    async def count(self, wanted: LetterFilter) -> int:
        """Open letters."""
        with _store_errors():
            return await self._letters.count_documents(query(wanted, [LetterState.OPEN]))

    async def groups(
        self, wanted: LetterFilter, states: Sequence[LetterState], version: str | None, limit: int
    ) -> list[Group]:
        """By fingerprint, largest first. `new` counts those that died under this code version."""
        is_new = {"$cond": [{"$eq": ["$code_version", version]}, 1, 0]}
        pipeline: list[dict[str, Any]] = [
            {"$match": query(wanted, states)},
            {
                "$group": {
                    "_id": "$fingerprint",
                    "count": {"$sum": 1},
                    "first_seen": {"$min": "$died_at"},
                    "last_seen": {"$max": "$died_at"},
                    "error_type": {"$last": "$error_type"},
                    "error_detail": {"$last": "$error_detail"},
                    "reasons": {"$addToSet": "$reason"},
                    "kinds": {"$addToSet": "$kind"},
                    "new": {"$sum": is_new},
                }
            },
            {"$sort": {"count": -1, "_id": 1}},
            {"$limit": limit},
        ]
        with _store_errors():
            rows = await (await self._letters.aggregate(pipeline)).to_list()
        return [_group(row) for row in rows]

    async def newest_version(self) -> str | None:
        """The code version that was first seen last, among workers and letters: an old worker that was restarted a
        moment ago makes its version no newer."""
        first_seen: dict[str, datetime] = {}
        with _store_errors():
            for collection, time in ((self._workers, "$started_at"), (self._letters, "$died_at")):
                grouped = await collection.aggregate(
                    [{"$group": {"_id": "$code_version", "first_seen": {"$min": time}}}]
                )
                async for row in grouped:
                    if row["_id"]:  # empty where the broker gave the message up
                        seen = row["first_seen"]
                        first_seen[row["_id"]] = min(seen, first_seen.get(row["_id"], seen))
        return max(first_seen, key=lambda version: first_seen[version], default=None)

    async def outlines(self, wanted: LetterFilter, until: datetime) -> AsyncIterator[Outline]:
        """The open letters that were stored by `until`, oldest death first."""
        fields = {"fingerprint": 1, "died_at": 1, "queue": 1, "kind": 1}
        with _store_errors():
            found = self._letters.find(query(wanted, [LetterState.OPEN], until), fields, batch_size=2_000)
            async for row in found.sort([("died_at", 1), ("_id", 1)]):
                yield Outline(row["_id"], row["fingerprint"], row["died_at"], row["queue"], row.get("kind"))

    async def take(
        self,
        wanted: LetterFilter,
        until: datetime,
        *,
        of: Window | Sequence[str],
        replay: str,
        number: int,
        actor: str,
    ) -> list[Letter]:
        """Mark the open ones as replayed in step `number` of this replay, and return all that it has so marked.

        Before they are published, and in one write a letter: the embedded store takes 0.5 ms for one. Whoever resumes
        the replay repeats its last steps, and nobody else can take, edit or discard the letters meanwhile.
        """
        place = within(of) if isinstance(of, Window) else {"_id": {"$in": list(of)}}
        conditions = query(wanted, [LetterState.OPEN], until)
        taken = {"replay": replay, "window": number, "settled_at": datetime.now(UTC), "settled_by": actor}
        with _store_errors():
            changes = {"$set": {"state": LetterState.REPLAYED, **taken}}
            await self._letters.update_many(both(conditions, place), changes)
            mine = {**place, "state": LetterState.REPLAYED, "replay": replay, "window": number}
            return [Letter.model_validate(row) for row in await self._letters.find(mine).to_list()]

    async def taken(self, replay: str, since: int = 0) -> list[Letter]:
        """What a replay took, from step `since` on."""
        conditions = {"state": LetterState.REPLAYED, "replay": replay, "window": {"$gte": since}}
        with _store_errors():
            return [Letter.model_validate(row) for row in await self._letters.find(conditions).to_list()]

    async def standing(self, replay: str) -> Standing:
        is_canary = {"$cond": [{"$eq": ["$window", 0]}, 1, 0]}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"state": LetterState.REPLAYED, "replay": replay}},
            {
                "$group": {
                    "_id": None,
                    "taken": {"$sum": 1},
                    "canaries": {"$sum": is_canary},
                    "last": {"$max": "$window"},
                }
            },
        ]
        with _store_errors():
            rows = await (await self._letters.aggregate(pipeline)).to_list()
        return Standing(rows[0]["taken"], rows[0]["canaries"], rows[0]["last"]) if rows else Standing(0, 0, None)

    async def put_back(self, replay: str, *, since: int = 0, ids: Sequence[str] | None = None) -> int:
        """Open again what a replay took and did not publish: some of its letters, or those of its last steps."""
        conditions = {"state": LetterState.REPLAYED, "replay": replay, "window": {"$gte": since}}
        if ids is not None:
            conditions["_id"] = {"$in": list(ids)}
        forgotten = dict.fromkeys(("replay", "window", "settled_at", "settled_by"))
        with _store_errors():
            done = await self._letters.update_many(conditions, {"$set": {"state": LetterState.OPEN, **forgotten}})
        return done.modified_count

    async def fates(self, job_ids: Sequence[str]) -> dict[str, Fate]:
        """How these jobs stand, as far as the ledger has told; unknown ones are left out."""
        fields = {"status": 1, "generation": 1, "updated_at": 1, "error": 1}
        with _store_errors():
            rows = await self._jobs.find({"_id": {"$in": list(job_ids)}}, fields).to_list()
        return {row["_id"]: _fate(row) for row in rows}

    async def edit(self, letter: Letter, edit: LetterEdit) -> bool:
        """False when the letter is no longer as it was read: edited or settled meanwhile."""
        unchanged = {"_id": letter.id, "state": LetterState.OPEN, "revision": letter.revision}
        with _store_errors():
            done = await self._letters.update_one(
                unchanged, {"$set": {"edit": edit.model_dump()}, "$inc": {"revision": 1}}
            )
        return done.modified_count == 1

    async def discard(self, wanted: LetterFilter, *, actor: str, reason: str) -> int:
        """How many letters were open and are discarded now. When it raises, some may be; repeat it for the rest."""
        now, windows, count = datetime.now(UTC), Windows(_AT_ONCE), 0
        async for letter in self.outlines(wanted, now):
            windows.add(letter.died_at)
        settled = {"settled_at": now, "settled_by": actor, "discard_reason": reason}
        for window in windows.all():
            conditions = both(query(wanted, [LetterState.OPEN], now), within(window))
            with _store_errors():
                done = await self._letters.update_many(
                    conditions, {"$set": {"state": LetterState.DISCARDED, **settled}}
                )
            count += done.modified_count
        return count


def _document(letter: Letter) -> dict[str, Any]:
    return {name: value for name, value in letter.model_dump(by_alias=True).items() if value is not None}


def _fate(row: dict[str, Any]) -> Fate:
    error = row.get("error") or {}
    detail = error.get("detail") or error.get("title") or ""
    return Fate(JobState(row["status"]), row["generation"], row["updated_at"], error.get("fingerprint"), detail)


def _group(row: dict[str, Any]) -> Group:
    kinds = sorted(kind for kind in row["kinds"] if kind)
    fields = {name: row[name] for name in ("count", "first_seen", "last_seen", "error_type", "error_detail", "new")}
    return Group(fingerprint=row["_id"], reasons=sorted(row["reasons"]), kinds=kinds, **fields)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
