"""Consumer processes as an operator sees them: how they start, end, and refuse to start."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pytest

from messaging import names
from millrace.stack.ports import free_port
from tests.conftest import Deployment
from tests.support.processes import PoolProcess, gateway, running
from tests.support.waiting import eventually

WAIT = {"Prefer": "wait=20"}


async def submit(client: httpx.AsyncClient, **params: Any) -> str:
    response = await client.post("/v1/jobs", json={"kind": "system.probe", "params": params})
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


async def reaches(client: httpx.AsyncClient, url: str, status: str) -> None:
    async def there() -> bool:
        return bool((await client.get(url)).json()["status"] == status)

    await eventually(there)


async def said(worker: PoolProcess, event: str) -> list[dict[str, Any]]:
    async def found() -> list[dict[str, Any]]:
        return [line for line in await worker.log() if line.get("event") == event]

    return await eventually(found)


@pytest.mark.slow
async def test_a_stopping_worker_takes_nothing_more_and_ends_what_runs(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with running("ledger"), gateway() as client, PoolProcess(tmp_path, "diagnostics") as worker:
        slow = await submit(client, delay_s=2)
        await reaches(client, slow, "running")
        stopping = asyncio.create_task(worker.stop())
        await said(worker, "draining")
        late = await submit(client)
        assert await stopping == 0
        drained = (await client.get(slow)).json()
        untouched = (await client.get(late)).json()
        assert (drained["status"], drained["attempt"]) == ("succeeded", 1)
        assert untouched["status"] == "queued"
        await worker.start()
        assert (await client.get(late, headers=WAIT)).json()["status"] == "succeeded"
        events = [line["event"] for line in await worker.log()]
    assert events.index("stopping") < events.index("job_finished") < events.index("stopped")
    assert "drain_cut_short" not in events


@pytest.mark.slow
async def test_what_outlasts_the_drain_goes_to_another_worker(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_DRAIN_S", "0.3")
    async with running("ledger"), gateway() as client:
        async with PoolProcess(tmp_path / "first", "diagnostics") as first:
            url = await submit(client, delay_s=2.5)
            await reaches(client, url, "running")
            async with asyncio.timeout(2):
                assert await first.stop() == 0
            async with PoolProcess(tmp_path / "second", "diagnostics") as second:
                job = (await client.get(url, headers=WAIT)).json()
                [finished] = await said(second, "job_finished")
        first_log = await first.log()
    assert (job["status"], job["attempt"]) == ("succeeded", 1), "a redelivery is no retry"
    assert finished["job_id"] == job["id"]
    assert "drain_cut_short" in [line["event"] for line in first_log]
    assert "job_finished" not in [line["event"] for line in first_log]


async def test_an_idle_process_ends_at_once(deployment: Deployment, tmp_path: Path) -> None:
    async with PoolProcess(tmp_path, "ledger", "dead_letters", "diagnostics") as process:
        async with httpx.AsyncClient(trust_env=False) as client:
            health = (await client.get(f"http://127.0.0.1:{process.port}/healthz")).json()
        async with asyncio.timeout(5):
            assert await process.stop() == 0
    assert health["status"] == "ok"
    assert set(health["pools"]) == {"ledger", "dead_letters", "diagnostics"}


async def start_in_vain(*arguments: str) -> tuple[int | None, list[dict[str, Any]], str]:
    """Exit status, log lines of level error, and the whole output of a process that cannot start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    lines = [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]
    ours = [line for line in lines if line["level"] == "error" and "logger" not in line]  # libraries have their say
    return process.returncode, ours, output.decode()


def check_one_clear_error(found: tuple[int | None, list[dict[str, Any]], str], *parts: str) -> None:
    status, errors, output = found
    assert status == 1, output
    assert [line["event"] for line in errors] == ["gave_up"], output
    assert "Traceback" not in output
    for part in parts:
        assert part in errors[0]["error"]


async def test_a_pool_without_its_broker_says_so_and_ends(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_URL", f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    found = await start_in_vain("consumers", "diagnostics", "--port", str(free_port()))
    check_one_clear_error(found, "cannot connect to the broker")


async def test_a_pool_on_a_foreign_topology_says_what_to_do_and_ends(deployment: Deployment) -> None:
    queue = names.work_queue("system.probe")
    connection = await aio_pika.connect(deployment.broker.url)
    async with connection, connection.channel() as channel:
        await channel.queue_delete(queue)
        await channel.queue_delete(names.DEAD)
        await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
    found = await start_in_vain("consumers", "diagnostics", "--port", str(free_port()))
    check_one_clear_error(found, f"queue {queue}", f"queue {names.DEAD}", "millrace topology apply")


async def test_a_gateway_that_cannot_start_says_so_and_ends(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_URL", f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    monkeypatch.setenv("MILLRACE_PORT", str(free_port()))
    status, _, output = await start_in_vain("gateway")
    assert status not in (0, None)
    assert "cannot connect to the broker" in output


async def test_an_unknown_pool_is_a_usage_error() -> None:
    status, _, output = await start_in_vain("consumers", "no-such-pool")
    assert status == 2
    assert "diagnostics" in output
