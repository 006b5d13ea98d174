"""Whoever sees that a job has succeeded finds what it made, and what a cancelled job made is nowhere."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumers.ledger.fold import event_patch, held
from messaging import names
from producers.catalog import catalog
from schemas.envelope import Envelope
from schemas.jobs.dataset_ingest import IngestDataset
from schemas.lifecycle import JobCancelled, JobError, JobSucceeded, LifecycleEvent
from storage.database import Database, connect
from storage.jobs import JobProjection
from tests.conftest import Deployment
from tests.support import wire
from tests.support.processes import running
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
RESULT = json.loads((Path(__file__).parents[1] / "contract/examples/dataset.ingested.1.json").read_text())["body"]
SUCCEEDED = JobSucceeded(started_at=NOW, finished_at=NOW, result=RESULT)
CANCELLED = JobCancelled(finished_at=NOW, error=JobError(type="job-cancelled", title="It was cancelled"))


async def tell(deployment: Deployment, envelope: Envelope, event: LifecycleEvent) -> None:
    told = envelope.event(event, source="test")
    await wire.publish(deployment, "", names.LEDGER, event.model_dump_json().encode(), told.headers())


async def ended(database: Database, job_id: str) -> str:
    async def look() -> str:
        status = await status_of(database, job_id)
        return "" if status == "running" else status

    return await eventually(look, within_s=30)


async def status_of(database: Database, job_id: str) -> str:
    job = await database["jobs"].find_one({"_id": job_id})
    return "" if job is None else str(job["status"])


async def versions(database: Database) -> list[str]:
    return [str(version["_id"]) for version in await database["dataset_versions"].find().to_list()]


async def test_an_end_is_seen_when_its_entry_is_there_and_no_other_end_comes_between(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope, seen = wire.command(IngestDataset), []

    async def watched(database: Database, kind: str, result: dict[str, Any], **origin: Any) -> None:
        seen.append(await status_of(database, envelope.job_id))
        # As another ledger would, which has the cancellation.
        cancelled = event_patch(envelope.event(CANCELLED, source="test"), CANCELLED, None)
        await JobProjection(database).fold([cancelled])
        await catalog(database, kind, result, **origin)
        seen.append(await status_of(database, envelope.job_id))

    monkeypatch.setattr("consumers.ledger.catalog.catalog", watched)
    async with connect(deployment.storage) as database, running("ledger"):
        await tell(deployment, envelope, SUCCEEDED)
        assert await ended(database, envelope.job_id) == "succeeded"
        assert len(await versions(database)) == 1
        await tell(deployment, envelope, SUCCEEDED)
        await tell(deployment, envelope, CANCELLED)
    async with connect(deployment.storage) as database:
        assert await status_of(database, envelope.job_id) == "succeeded"
    assert seen == ["running", "running"], "once, and before the end showed"


async def test_a_result_that_comes_after_the_cancellation_makes_nothing(deployment: Deployment) -> None:
    first, second = wire.command(IngestDataset), wire.command(IngestDataset)
    async with connect(deployment.storage) as database:
        async with running("ledger"):
            await tell(deployment, first, CANCELLED)
            assert await ended(database, first.job_id) == "cancelled"
            await tell(deployment, first, SUCCEEDED)
        await tell(deployment, second, CANCELLED)  # both in one bulk
        await tell(deployment, second, SUCCEEDED)
        async with running("ledger"):
            assert await ended(database, second.job_id) == "cancelled"
        assert await ended(database, first.job_id) == "cancelled"
        assert await versions(database) == []


async def test_a_ledger_that_died_in_between_is_gone_on_from(deployment: Deployment) -> None:
    envelope = wire.command(IngestDataset)
    async with connect(deployment.storage) as database:
        stood = event_patch(envelope.event(SUCCEEDED, source="test"), SUCCEEDED, None)
        await JobProjection(database).fold([held(stood)])
        assert await status_of(database, envelope.job_id) == "running"
        async with running("ledger"):
            await tell(deployment, envelope, SUCCEEDED)
            assert await ended(database, envelope.job_id) == "succeeded"
        assert len(await versions(database)) == 1
