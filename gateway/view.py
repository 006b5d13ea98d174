"""Reading a job: from its live feed while Redis has all of it, else from the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from schemas.envelope import Envelope
from schemas.lifecycle import JobState, Position
from schemas.problems import PROBLEM_TYPES
from schemas.resources import Job, JobSummary
from storage import jobs
from storage.blobs import BlobStore
from storage.documents import JobDocument
from storage.feed import FeedReader, FeedUnavailable

# How long a job may be unknown after its 202, until the ledger has seen it.
_APPEARS_WITHIN_S = 1.0
# How often to look without having been woken: Redis may be away, or have lost a publish.
_LOOK_EVERY_S = 0.5


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
    def etag(self) -> str:
        return f'"{self.order}"'


class JobView:
    def __init__(self, feed: FeedReader, blobs: BlobStore) -> None:
        self._feed, self._blobs = feed, blobs

    async def find(self, job_id: str) -> Snapshot | None:
        """Raises StoreUnavailable when neither Redis nor the store can tell."""
        with suppress(FeedUnavailable):
            if history := merged(job_id, await self._feed.entries(job_id)):
                return history[-1]
        return snapshot_of(await jobs.get(job_id))

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

    async def wait(self, job_id: str, changed: asyncio.Event, seconds: float) -> Snapshot | None:
        """The job when it has ended, or as it is after `seconds`. `changed` comes from `FeedReader.listening`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            remaining = until - loop.time()
            if remaining <= 0:
                return await self.find(job_id)
            await _wait(changed, min(remaining, _LOOK_EVERY_S))
            changed.clear()
            found = await self.find(job_id)
            if found is not None and found.terminal:
                return found

    async def follow(self, job_id: str, after: int, keep_alive_s: float) -> AsyncIterator[Snapshot | None]:
        """Every change above order `after`, ending with the terminal one; None where a keep-alive is due."""
        loop = asyncio.get_running_loop()
        async with self._feed.listening(job_id) as changed:
            quiet_since = loop.time()
            while True:
                for snapshot in await self._changes(job_id, after):
                    yield snapshot
                    after, quiet_since = snapshot.order, loop.time()
                    if snapshot.terminal:
                        return
                await _wait(changed, _LOOK_EVERY_S)
                changed.clear()
                if loop.time() - quiet_since >= keep_alive_s:
                    yield None
                    quiet_since = loop.time()

    async def _changes(self, job_id: str, after: int) -> list[Snapshot]:
        history: list[Snapshot] = []
        with suppress(FeedUnavailable):
            history = merged(job_id, await self._feed.entries(job_id))
        if not history:
            stored = snapshot_of(await jobs.get(job_id))
            history = [stored] if stored else []
        return [snapshot for snapshot in history if snapshot.order > after]

    async def resource(self, snapshot: Snapshot) -> Job:
        """The job in full, claim-checked parameters and result fetched. Raises BlobUnavailable, BlobMissing."""
        fields = snapshot.fields
        params, result = fields.get("params"), fields.get("result")
        if claim := fields.get("params_claim"):
            params = from_json(await self._blobs.get(claim["path"], claim["sha256"]))
        if claim := fields.get("result_claim"):
            result = from_json(await self._blobs.get(claim["path"], claim["sha256"]))["result"]
        return Job.model_validate({**_common(snapshot), "params": params, "result": result})


def merged(job_id: str, entries: list[Any]) -> list[Snapshot]:
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
    """The job as it is right after the broker confirmed it."""
    position = Position.of(JobState.QUEUED, generation=envelope.generation, attempt=envelope.attempt)
    fields = {
        **envelope.model_dump(include={"kind", "principal", "generation", "attempt"}),
        "status": JobState.QUEUED,
        "created_at": envelope.time,
    }
    snapshot = Snapshot(envelope.job_id, position.order, fields)
    return Job.model_validate({**_common(snapshot), "params": params})


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
        "error": _failure(fields.get("error")),
        "links": {"self": f"/v1/jobs/{snapshot.job_id}", "events": f"/v1/jobs/{snapshot.job_id}/events"},
    }


def _failure(error: dict[str, Any] | None) -> dict[str, Any] | None:
    if error is None:
        return None
    known = PROBLEM_TYPES.get(error["type"])
    return error | {"type": known.path if known else error["type"]}


async def _wait(changed: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return False
    return True
