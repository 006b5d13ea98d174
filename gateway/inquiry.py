"""Asking every part about one job, all at once. What is away is left out and named."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar

from gateway.explanation import COUNTED_AHEAD, Facts
from gateway.view import JobView, Snapshot, failure
from gateway.watch import StoreWatch
from messaging import names
from messaging.inspection import Inspector
from messaging.publisher import BrokerUnavailable
from producers.custody import TIERS
from schemas.lifecycle import JobState
from schemas.resources import JobFailure
from storage import census, workers
from storage.census import StoredJob
from storage.database import Database, StoreUnavailable

T = TypeVar("T")


class Inquiry:
    def __init__(self, view: JobView, inspector: Inspector, database: Database, store: StoreWatch) -> None:
        self._view, self._inspector, self._database, self._store = view, inspector, database, store

    async def about(self, job_id: str) -> Facts | None:
        """None when there is no such job. Raises StoreUnavailable when not even the job itself can be read."""
        snapshot = await self._view.find_new(job_id)
        if snapshot is None:
            facts = await self.about_unseen(job_id)
            return facts if facts.queues is None or facts.unfolded else None
        missing: list[str] = []
        job = StoredJob.model_validate({"id": job_id, **snapshot.fields, "params": None})
        if job.status.terminal:
            return Facts(job_id, datetime.now(UTC), job)
        return await self._about_live(job, snapshot, missing)

    async def about_unseen(self, job_id: str) -> Facts:
        """A job that neither Redis nor the store knows may still wait for the ledger."""
        missing: list[str] = []
        queues = await self._unless_away(self._inspector.count([names.LEDGER]), missing)
        return Facts(job_id, datetime.now(UTC), None, queues=queues, missing=missing)

    async def _about_live(self, job: StoredJob, snapshot: Snapshot, missing: list[str]) -> Facts:
        store, database = self._store.reading, self._database
        leases, ahead, running, roster, queues = await asyncio.gather(
            self._unless_away(store(census.leases_of(database, [job.id])), missing),
            self._unless_away(store(census.count_ahead(database, job.kind, job.created_at, COUNTED_AHEAD)), missing),
            self._unless_away(store(census.count_jobs(database, [JobState.RUNNING])), missing),
            self._unless_away(store(workers.roster(database)), missing),
            self._unless_away(self._inspector.count(_queues(job.kind)), missing),
        )
        return Facts(
            job.id,
            datetime.now(UTC),
            job,
            failure=_failure(snapshot),
            lease=leases.get(job.id) if leases else None,
            ahead=ahead,
            running=running[job.kind, JobState.RUNNING] if running else 0,
            queues=queues,
            roster=roster,
            missing=sorted(set(missing)),
        )

    async def _unless_away(self, question: Awaitable[T], missing: list[str]) -> T | None:
        try:
            return await question
        except StoreUnavailable:
            missing.append("the store is away: leases, workers and position are not known")
        except BrokerUnavailable:
            missing.append("the broker is away: queue counts are not known")
        return None


def _queues(kind: str) -> list[str]:
    return [*TIERS, names.DEAD, names.work_queue(kind), names.LEDGER]


def _failure(snapshot: Snapshot) -> JobFailure | None:
    found = failure(snapshot.fields.get("error"))
    return JobFailure.model_validate(found) if found else None
