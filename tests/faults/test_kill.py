"""SIGKILL of every part that a job passes: whoever got a 202 gets a result."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Deployment, Servers
from tests.support.processes import PoolProcess, gateway, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("deployment")]

JOBS = 500


async def submit(
    client: httpx.AsyncClient, kind: str, count: int, params: Callable[[int], dict[str, Any]]
) -> list[str]:
    """Ids of the jobs that got a 202. A 503 is an honest no and is not counted."""
    at_once = asyncio.Semaphore(16)

    async def one(number: int) -> str | None:
        async with at_once:
            response = await client.post("/v1/jobs", json={"kind": kind, "params": params(number)})
        assert response.status_code in (202, 503), response.text
        return response.json()["id"] if response.status_code == 202 else None

    return [job_id for job_id in await asyncio.gather(*map(one, range(count))) if job_id]


async def states(client: httpx.AsyncClient) -> dict[str, str]:
    found: dict[str, str] = {}
    url = "/v1/jobs?limit=200"
    while url:
        page = (await client.get(url)).json()
        found |= {job["id"]: job["status"] for job in page["items"]}
        url = page["next"]
    return found


async def all_succeeded(client: httpx.AsyncClient, accepted: list[str], within_s: float = 90) -> None:
    async def done() -> bool:
        known = await states(client)
        return all(known.get(job_id) == "succeeded" for job_id in accepted)

    await eventually(done, within_s=within_s, every_s=0.25)


async def some_succeeded(client: httpx.AsyncClient, count: int) -> None:
    async def enough() -> bool:
        return sum(state == "succeeded" for state in (await states(client)).values()) >= count

    await eventually(enough, within_s=60)


async def test_the_inference_worker_is_killed_during_500_jobs(tmp_path: Path) -> None:
    async with running("ledger"), gateway() as client, PoolProcess(tmp_path, "inference") as worker:
        accepted = await submit(
            client, "text.embed", JOBS, lambda n: {"inputs": [f"The {n}th mill race of the valley."]}
        )
        assert len(accepted) == JOBS
        await some_succeeded(client, 1)
        await worker.kill()
        assert any(state == "queued" for state in (await states(client)).values()), (
            "killed too late to prove anything"
        )
        await worker.start()
        await all_succeeded(client, accepted)


async def test_the_ledger_is_killed_during_500_jobs(tmp_path: Path) -> None:
    async with running("diagnostics"), gateway() as client, PoolProcess(tmp_path, "ledger") as ledger:
        submitting = asyncio.create_task(submit(client, "system.probe", JOBS, lambda n: {"payload": {"n": n}}))
        await some_succeeded(client, 1)
        await ledger.kill()
        accepted = await submitting
        assert len(accepted) == JOBS, "the gateway needs no ledger to accept"
        await ledger.start()
        await all_succeeded(client, accepted)


async def test_the_broker_is_killed_during_500_jobs(servers: Servers, tmp_path: Path) -> None:
    async with (
        PoolProcess(tmp_path, "ledger"),
        PoolProcess(tmp_path, "diagnostics"),
        gateway() as client,
    ):
        submitting = asyncio.create_task(submit(client, "system.probe", JOBS, lambda n: {"payload": {"n": n}}))
        await some_succeeded(client, 1)
        await servers.rabbitmq.settle()
        await servers.rabbitmq.kill()
        accepted = await submitting
        refused = await client.post("/v1/jobs", json={"kind": "system.probe"})
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/broker-unavailable"
        assert refused.headers["retry-after"].isdecimal()
        await servers.rabbitmq.start()
        await all_succeeded(client, accepted)

        async def accepts_again() -> bool:
            return (await client.post("/v1/jobs", json={"kind": "system.probe"})).status_code == 202

        await eventually(accepts_again, within_s=20)


async def test_a_job_that_kills_its_worker_dies_alone(deployment: Deployment, tmp_path: Path) -> None:
    worker = PoolProcess(tmp_path, "diagnostics")
    async with running("ledger", "dead_letters"), gateway() as client:
        neighbours = await submit(client, "system.probe", 20, lambda n: {"payload": {"n": n}})
        [killer] = await submit(client, "system.probe", 1, lambda _: {"failure": "kill"})
        neighbours += await submit(client, "system.probe", 20, lambda n: {"payload": {"n": n}})

        async def dead() -> bool:
            if not worker.running:
                await _start_doomed(worker)
            return (await states(client)).get(killer) == "dead"

        await eventually(dead, within_s=120, every_s=0.1)
        if not worker.running:
            await worker.start()
        await all_succeeded(client, neighbours)
        job = (await client.get(f"/v1/jobs/{killer}")).json()
        await worker.kill()
    assert job["error"]["type"] == "/problems/worker-killed"


async def _start_doomed(worker: PoolProcess) -> None:
    """It may be dead again before it ever answered."""
    try:
        await worker.start()
    except AssertionError:
        assert not worker.running
