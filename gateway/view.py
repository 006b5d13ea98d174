"""Reading a job: from its live feed while Redis has all of it, else from the store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from gateway.watch import StoreWatch
from schemas.envelope import Envelope
from schemas.lifecycle import JobState
from schemas.problems import PROBLEM_TYPES
from schemas.resources import Job, JobLinks, JobSummary
from storage import jobs
from storage.blobs import BlobMissing, BlobStore
from storage.connection import RedisUnavailable
from storage.database import StoreUnavailable
from storage.documents import JobDocument
from storage.feed import Changed, FeedEntry, FeedReader

# How long a job may be unknown after its 202, until the ledger has seen it.
_APPEARS_WITHIN_S = 1.0
# How often to look without having been woken: a publish may have been lost, or Redis may be away altogether.
_LOOK_EVERY_S = 3.0
_LOOK_EVERY_S_WITHOUT_FEED = 0.5
# For how long after a change the feed is believed without asking the store.
_FRESH_S = 2.0


@dataclass(frozen=True)
class Snapshot:
    """A job at one position of its life."""

    job_id: str
    order: int
    fields: dict[str, Any]
    """The projection's fields, as JSON values or as the store has them."""

    @property
    def terminal(self) -> bool:
        return JobState(self.fields["status"]).terminal

    @property
    def untouched(self) -> bool:
        """Whether it waits for its very first attempt."""
        fields = self.fields
        return (fields["status"], fields["generation"], fields["attempt"]) == (JobState.QUEUED, 0, 1)

    def age_s(self) -> float:
        """Seconds since the change, of a snapshot made from the feed."""
        changed_at = datetime.fromisoformat(self.fields["updated_at"])
        return (datetime.now(UTC) - changed_at).total_seconds()

    @property
    def etag(self) -> str:
        return f'"{self.order}"'


class JobView:
    def __init__(self, feed: FeedReader, store: StoreWatch, blobs: BlobStore) -> None:
        self._feed, self._store, self._blobs = feed, store, blobs

    async def find(self, job_id: str) -> Snapshot | None:
        """Raises StoreUnavailable when neither Redis nor the store can tell."""
        history = await self._history(job_id)
        return history[-1] if history else None

    async def find_new(self, job_id: str) -> Snapshot | None:
        """Like `find`, but patient with a job accepted a moment ago, which the ledger may not have seen yet."""
        found = await self.find(job_id)
        if found is not None:
            return found
        async with self._feed.listening(job_id) as changed:
            found = await self.find(job_id)  # again, now that nothing can happen unheard
            if found is None:
                await _wait(changed, _APPEARS_WITHIN_S)
                found = await self.find(job_id)
            return found

    async def wait(self, job_id: str, changed: Changed, seconds: float) -> Snapshot | None:
        """The job when it has ended, or as it is after `seconds` if somebody can tell.

        `changed` comes from `FeedReader.listening`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            remaining = until - loop.time()
            if remaining <= 0:
                return await self.look(job_id)
            await _wait(changed, min(remaining, self._look_every_s()))
            entry = changed.take()
            found = _whole(job_id, entry) or await self.look(job_id)
            if found is not None and found.terminal:
                return found

    async def look(self, job_id: str) -> Snapshot | None:
        """Like `find`, for those who can do without: None also while nobody can tell."""
        with suppress(StoreUnavailable):
            return await self.find(job_id)
        return None

    async def follow(
        self, found: Snapshot, after: int, keep_alive_s: float, closing: asyncio.Event
    ) -> AsyncIterator[Snapshot | None]:
        """Every change above order `after` of a job that was found a moment ago, ending with the terminal one or when
        it is closing; None where a keep-alive is due."""
        loop = asyncio.get_running_loop()
        known = [found] if found.untouched else []  # else there may be more before it
        async with self._feed.listening(found.job_id) as changed:
            quiet_since = loop.time()
            while not closing.is_set():
                for snapshot in [*known, *await self._whatever_is_known(found.job_id)]:
                    if snapshot.order <= after:
                        continue
                    yield snapshot
                    after, quiet_since = snapshot.order, loop.time()
                    if snapshot.terminal:
                        return
                known = []
                await _wait(changed, min(self._look_every_s(), keep_alive_s))
                changed.clear()
                if loop.time() - quiet_since >= keep_alive_s:
                    yield None
                    quiet_since = loop.time()

    async def _whatever_is_known(self, job_id: str) -> list[Snapshot]:
        """A stream that has begun outlives what answers it: nothing is news while nobody can tell."""
        with suppress(StoreUnavailable):
            return await self._history(job_id)
        return []

    async def _history(self, job_id: str) -> list[Snapshot]:
        """What is known of the job's changes, oldest first.

        The feed is believed while its newest entry is an end or is fresh. An older one may be behind, because a write
        to Redis failed: then the store is asked too, and the later of the two stands.
        """
        history: list[Snapshot] = []
        with suppress(RedisUnavailable):
            history = merged(job_id, await self._feed.entries(job_id))
        if history and (history[-1].terminal or history[-1].age_s() < _FRESH_S):
            return history
        try:
            stored = snapshot_of(await self._store.reading(jobs.get(job_id)))
        except StoreUnavailable:
            if history:
                return history
            raise
        behind = stored is not None and (not history or history[-1].order < stored.order)
        return [*history, stored] if stored and behind else history

    def _look_every_s(self) -> float:
        return _LOOK_EVERY_S if self._feed.reachable else _LOOK_EVERY_S_WITHOUT_FEED

    async def resource(self, snapshot: Snapshot) -> Job:
        """The job in full, claim-checked parameters and result fetched. Raises BlobUnavailable, BlobMissing."""
        fields = snapshot.fields
        params, result = fields.get("params"), fields.get("result")
        if claim := fields.get("params_claim"):
            with suppress(BlobMissing):  # its worker gave the job up for the same reason, which can still be read
                params = from_json(await self._blobs.get(claim["path"], claim["sha256"]))
        if claim := fields.get("result_claim"):
            result = from_json(await self._blobs.get(claim["path"], claim["sha256"]))["result"]
        return Job.model_validate({**_common(snapshot), "params": params, "result": result})


def _whole(job_id: str, entry: FeedEntry | None) -> Snapshot | None:
    """The job, when the change is all that there is of it, as with most of those that end at once."""
    return next(iter(merged(job_id, [] if entry is None else [entry])), None)


def merged(job_id: str, entries: Sequence[FeedEntry]) -> list[Snapshot]:
    """The job after each entry; empty when the feed lost its beginning, which only the store knows then."""
    history: list[Snapshot] = []
    fields: dict[str, Any] = {}
    for entry in entries:
        fields = fields | entry.patch
        if "dataschema" in fields:
            history.append(Snapshot(job_id, entry.order, fields))
    return history


def snapshot_of(document: JobDocument | None) -> Snapshot | None:
    if document is None:
        return None
    return Snapshot(document.id, document.order, document.model_dump(exclude={"id", "order"}))


def fresh(envelope: Envelope, params: dict[str, Any]) -> Job:
    """The job as it is right after the broker confirmed it. Constructed, not validated: nothing of it is unknown."""
    return Job.model_construct(
        id=envelope.job_id,
        kind=envelope.kind,
        status=JobState.QUEUED,
        principal=envelope.principal,
        created_at=envelope.time,
        attempt=envelope.attempt,
        generation=envelope.generation,
        links=_links(envelope.job_id),
        params=params,
    )


def summary(document: JobDocument) -> JobSummary:
    snapshot = Snapshot(document.id, document.order, document.model_dump(exclude={"id", "order", "params", "result"}))
    return JobSummary.model_validate(_common(snapshot))


def _common(snapshot: Snapshot) -> dict[str, Any]:
    fields = snapshot.fields
    names = ("kind", "status", "principal", "created_at", "started_at", "finished_at", "attempt", "generation")
    return {
        "id": snapshot.job_id,
        **{name: fields.get(name) for name in names},
        "progress": fields.get("progress"),
        "error": failure(fields.get("error")),
        "links": _links(snapshot.job_id),
    }


def _links(job_id: str) -> JobLinks:
    return JobLinks(self=f"/v1/jobs/{job_id}", events=f"/v1/jobs/{job_id}/events")


def failure(error: dict[str, Any] | None) -> dict[str, Any] | None:
    if error is None:
        return None
    known = PROBLEM_TYPES.get(error["type"])
    return error | {"type": known.path if known else error["type"]}


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
