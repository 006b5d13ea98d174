"""Handlers and events that nobody should write, and that must not cost a job its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from consumers.runtime.handler import Handler, Task
from consumers.runtime.pool import Services
from consumers.runtime.workers import RunningWorkers, open_workers
from messaging import names
from messaging.message import OutgoingMessage
from messaging.publisher import open_publisher
from schemas.envelope import Envelope
from schemas.jobs.system_probe import SYSTEM_PROBE, ProbeAnswered, RunProbe
from schemas.lifecycle import JobState, Position
from storage.database import open_database
from storage.feed_writer import open_feed_writer
from storage.jobs import JobPatch
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.servers import Servers
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")

NO_TEXT = "\udcff"  # what a file name that is no UTF-8 decodes to


@dataclass(frozen=True)
class OnePool:
    """A pool of one handler, given by the test."""

    handler: Handler
    name: str = "one"

    @asynccontextmanager
    async def open(self, services: Services) -> AsyncIterator[RunningWorkers]:
        async with open_workers([self.handler], None, services) as workers:
            yield workers


@pytest.mark.parametrize("long", [False, True])
async def test_a_result_that_is_no_json_is_a_failed_attempt(long: bool) -> None:
    async def answer(task: Task[RunProbe], _resources: None) -> ProbeAnswered:
        text = NO_TEXT if task.envelope.attempt == 1 else "text"
        return ProbeAnswered.model_construct(payload={"name": text}, attempt=task.envelope.attempt, worker="w")

    pool = OnePool(Handler(SYSTEM_PROBE, answer, prefetch=5, long=long))
    async with running("ledger", pool), gateway() as client:
        job = await client.post("/v1/jobs", json={"kind": "system.probe"}, headers={"Prefer": "wait=20"})
    assert (job.json()["status"], job.json()["attempt"]) == ("succeeded", 2)


async def test_an_exception_that_quotes_no_text_is_an_exception_like_any_other() -> None:
    async def fail(task: Task[RunProbe], _resources: None) -> ProbeAnswered:
        if task.envelope.attempt == 1:
            raise OSError(f"no such file: {NO_TEXT}")
        return ProbeAnswered(payload={}, attempt=task.envelope.attempt, worker="w")

    async with running("ledger", OnePool(Handler(SYSTEM_PROBE, fail, prefetch=5))), gateway() as client:
        job = await client.post("/v1/jobs", json={"kind": "system.probe"}, headers={"Prefer": "wait=20"})
    assert (job.json()["status"], job.json()["attempt"]) == ("succeeded", 2)


async def test_an_event_of_an_unknown_type_is_no_command(deployment: Deployment, envelope: Envelope) -> None:
    unknown = envelope.model_copy(update={"type": "millrace.job.enchanted", "job_id": "f" * 32})
    async with running("ledger", "dead_letters"), open_publisher(deployment.broker, "test") as publisher:
        message = OutgoingMessage(unknown.headers(), b"{}")
        await publisher.publish(message, exchange=names.EVENTS, routing_key="system.probe.enchanted")
        async with open_database(deployment.storage) as database:

            async def kept() -> object:
                return await database["dead_letters"].find_one({"job_id": "f" * 32})

            await eventually(kept)
            assert await database["jobs"].find_one({"_id": "f" * 32}) is None


async def test_headers_beyond_all_bounds_still_leave_a_letter(deployment: Deployment, envelope: Envelope) -> None:
    hostile = envelope.headers() | {"mr-dead-reason": "undecodable", "mr-dead-at": "0001-01-01T00:00:00+14:00"}
    async with running("dead_letters"), open_publisher(deployment.broker, "test") as publisher:
        await publisher.publish(OutgoingMessage(hostile, b"bytes"), exchange=names.DEAD, routing_key="x")
        async with open_database(deployment.storage) as database:

            async def kept() -> dict[str, object] | None:
                return await database["dead_letters"].find_one({"job_id": envelope.job_id})

            letter = await eventually(kept)
    assert letter is not None
    assert letter["body"] == b"bytes"


async def test_a_feed_that_is_behind_the_store_is_not_believed(deployment: Deployment, servers: Servers) -> None:
    """A write to Redis failed, or a redelivered command was fed again after the feed had expired."""
    async with running("ledger", "diagnostics"), gateway() as client:
        job = (await client.post("/v1/jobs", json={"kind": "system.probe"}, headers={"Prefer": "wait=10"})).json()

        async def stored() -> bool:
            listed = (await client.get("/v1/jobs")).json()["items"]
            return bool(listed) and listed[0]["status"] == "succeeded"

        await eventually(stored)
        await servers.redis.kill()
        await servers.redis.start()
        order = Position.of(JobState.QUEUED, generation=0, attempt=1).order
        long_ago = datetime(2026, 1, 1, tzinfo=UTC)
        known = {name: job[name] for name in ("kind", "principal", "attempt", "generation")}
        fields = {**known, "status": "queued", "updated_at": long_ago}
        birth = {"dataschema": "urn:millrace:system.probe:1", "created_at": long_ago, "params": {}}
        async with open_feed_writer(deployment.storage) as feed:
            await feed.append([JobPatch(job["id"], order, fields, birth)])
        again = (await client.get(f"/v1/jobs/{job['id']}")).json()
    assert (again["status"], again["result"]) == ("succeeded", job["result"])
