"""What a running handler tells of itself reaches whoever follows the job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from consumers.runtime.handler import Handler, Task
from consumers.runtime.pool import Services
from consumers.runtime.workers import RunningWorkers, open_workers
from schemas.jobs.system_probe import SYSTEM_PROBE, ProbeAnswered, RunProbe
from tests.support.processes import gateway, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")


@dataclass(frozen=True)
class ReportingPool:
    """A pool whose one handler reports how far it is, and ends when it is told to."""

    finish: asyncio.Event
    name: str = "reporting"

    @asynccontextmanager
    async def open(self, services: Services) -> AsyncIterator[RunningWorkers]:
        async def report(task: Task[RunProbe], _resources: None) -> ProbeAnswered:
            await task.progress(0.5, "half of it")
            await self.finish.wait()
            return ProbeAnswered(payload={}, attempt=task.envelope.attempt, worker=services.worker)

        async with open_workers([Handler(SYSTEM_PROBE, report, prefetch=5)], None, services) as workers:
            yield workers


async def test_progress_is_seen_and_gone_with_the_end() -> None:
    finish = asyncio.Event()
    async with running("ledger", ReportingPool(finish)), gateway() as client:
        accepted = await client.post("/v1/jobs", json={"kind": "system.probe"})
        address = accepted.headers["location"]

        async def halfway() -> dict[str, object] | None:
            progress: dict[str, object] | None = (await client.get(address)).json()["progress"]
            return progress

        progress = await eventually(halfway)
        assert progress is not None
        assert (progress["fraction"], progress["message"]) == (0.5, "half of it")
        finish.set()
        ended = (await client.get(address, headers={"Prefer": "wait=10"})).json()
    assert (ended["status"], ended["progress"]) == ("succeeded", None)
