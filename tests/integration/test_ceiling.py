"""When everything fails, a pool stops taking work instead of filling the dead letters, and finds out by itself when
it can go on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from consumers.runtime import ceiling
from consumers.runtime.handler import Handler, Task
from consumers.runtime.pool import Services
from consumers.runtime.verdicts import HaltConsumer
from consumers.runtime.workers import RunningWorkers, open_workers
from messaging import names, retry
from schemas.jobs.system_probe import SYSTEM_PROBE, ProbeAnswered, RunProbe
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.waiting import eventually
from tests.support.wire import is_drained, letters, raw_store

JOBS = 30
WAIT = {"Prefer": "wait=30"}


@dataclass
class Device:
    """What the handler below needs, and may miss."""

    fail: Callable[[], Exception] | None
    asked: int = 0


@dataclass(frozen=True)
class DevicePool:
    device: Device
    name: str = "device"

    @asynccontextmanager
    async def open(self, services: Services) -> AsyncIterator[RunningWorkers]:
        async def work(task: Task[RunProbe], _resources: None) -> ProbeAnswered:
            self.device.asked += 1
            if self.device.fail is not None:
                raise self.device.fail()
            return ProbeAnswered(payload=task.params.payload, attempt=task.envelope.attempt, worker=services.worker)

        async with open_workers([Handler(SYSTEM_PROBE, work, prefetch=10)], None, services) as workers:
            yield workers


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiers and probes of a second at most."""
    monkeypatch.setattr(retry, "RETRY_TIERS_S", names.RETRY_TIERS_S[:1])
    monkeypatch.setattr(ceiling, "FIRST_PROBE_S", 0.5)
    monkeypatch.setattr(ceiling, "LONGEST_PROBE_S", 1.0)
    monkeypatch.setenv("MILLRACE_MOST_DEAD_LETTERS", "3")


async def all_ended(client: Any, urls: list[str]) -> list[str]:
    return [(await client.get(url, headers=WAIT)).json()["status"] for url in urls]


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
async def test_a_broken_pool_pauses_and_recovers_and_nothing_is_lost(deployment: Deployment) -> None:
    device = Device(fail=lambda: OSError("no such device"))
    async with running("ledger", "dead_letters", DevicePool(device)) as pools, gateway() as client:
        urls = [
            (await client.post("/v1/jobs", json={"kind": "system.probe"})).headers["location"] for _ in range(JOBS)
        ]

        async def paused() -> dict[str, Any]:
            health: dict[str, Any] = pools["device"].health()["system.probe"]  # type: ignore[assignment]
            return health if health["state"] == "paused" else {}

        health = await eventually(paused, within_s=90)
        assert "OSError: no such device" in health["reason"]
        assert health["probe_at"] > health["since"]
        asked = device.asked

        async def probed() -> bool:
            return device.asked >= asked + 3

        await eventually(probed, within_s=30)
        assert len(await letters(deployment, 3)) == 3, "the ceiling"
        device.fail = None
        states = await all_ended(client, urls)
        assert sorted(states) == ["dead"] * 3 + ["succeeded"] * (JOBS - 3)
        recovered: Any = pools["device"].health()["system.probe"]
        assert (recovered["in_flight"], recovered["state"]) == (0, "taking")
        assert recovered["postponed_until"], "whoever looks for lost jobs has to know"


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
async def test_a_handler_that_cannot_work_here_halts_its_pool_at_once(deployment: Deployment) -> None:
    device = Device(fail=lambda: HaltConsumer("the device is gone"))
    async with running("ledger", "dead_letters", DevicePool(device)) as pools, gateway() as client:
        url = (await client.post("/v1/jobs", json={"kind": "system.probe"})).headers["location"]

        async def paused() -> bool:
            health: dict[str, Any] = pools["device"].health()["system.probe"]  # type: ignore[assignment]
            return bool(health["state"] == "paused" and health["reason"] == "the device is gone")

        await eventually(paused)
        later = (await client.post("/v1/jobs", json={"kind": "system.probe"})).headers["location"]

        async def probed_often() -> bool:
            return device.asked > 6

        await eventually(probed_often, within_s=30)
        device.fail = None
        found = [(await client.get(address, headers=WAIT)).json() for address in (url, later)]
        assert [(job["status"], job["attempt"]) for job in found] == [("succeeded", 1)] * 2
        await eventually(lambda: is_drained(deployment, names.work_queue("system.probe")))
        async with raw_store(deployment) as store:
            assert await store["dead_letters"].count_documents({}) == 0
