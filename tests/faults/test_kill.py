"""SIGKILL of every part that a job passes: whoever got a 202 gets a result."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.support.jobs import all_succeeded, some_succeeded, states, submit
from tests.support.processes import PoolProcess, gateway, running
from tests.support.servers import Servers
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("deployment")]

JOBS = 500


async def test_the_inference_worker_is_killed_during_500_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, so that it happens in the middle however fast it is."""
    with monkeypatch.context() as armed:
        armed.setenv("MILLRACE_FAILPOINTS", f"worker.after-outcome:{JOBS // 10}")
        doomed = PoolProcess(tmp_path / "first", "inference")
    async with running("ledger"), gateway() as client:
        async with doomed:
            accepted = await submit(client, "text.embed", JOBS, lambda n: {"inputs": [f"At the {n}th mill."]})
            assert len(accepted) == JOBS
            await eventually(lambda: _ended(doomed), within_s=60)
        await some_succeeded(client, 1)
        found = await states(client)
        assert sum(state == "succeeded" for state in found.values()) < JOBS
        async with PoolProcess(tmp_path / "second", "inference"):
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


async def _ended(worker: PoolProcess) -> bool:
    return not worker.running


async def _start_doomed(worker: PoolProcess) -> None:
    """It may be dead again before it ever answered."""
    try:
        await worker.start()
    except AssertionError:
        assert not worker.running
