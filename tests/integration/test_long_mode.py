"""Long jobs: claimed under a lease, run in a child process, continued by others when their worker is gone."""

import os
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import psutil
import pytest

from messaging import names
from schemas.envelope import Envelope
from storage.leases import Leases, Wanted
from tests.conftest import Deployment
from tests.support.processes import PoolProcess, gateway, running, services
from tests.support.waiting import eventually
from tests.support.wire import Row, is_drained, letters, raw_store

WAIT = {"Prefer": "wait=40"}


async def submit(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **params: Any) -> str:
    body = {"kind": "system.long-probe", "params": params}
    response = await client.post("/v1/jobs", json=body, headers=headers or {})
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


async def job(client: httpx.AsyncClient, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(url, headers=headers or {})).json()
    return found


async def at_step(client: httpx.AsyncClient, url: str, fraction: float) -> dict[str, Any]:
    async def there() -> dict[str, Any]:
        found = await job(client, url)
        return found if found["progress"] and found["progress"]["fraction"] >= fraction else {}

    return await eventually(there, within_s=30)


async def lease_of(deployment: Deployment, url: str) -> Row:
    async with raw_store(deployment) as store:
        found = await store["leases"].find_one({"_id": url.rpartition("/")[2]})
    assert found is not None
    return found


async def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


async def test_a_long_job_runs_in_a_child_and_its_message_is_settled_at_once(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics") as pools, gateway() as client:
        url = await submit(client, steps=20, step_s=0.1)
        found = await at_step(client, url, 0.1)
        assert (found["status"], found["attempt"]) == ("running", 1)
        lease = await lease_of(deployment, url)
        assert (lease["state"], lease["epoch"], lease["lapses"]) == ("running", 1, 0)
        assert await is_drained(deployment, names.work_queue("system.long-probe"))
        assert pools["diagnostics"].health()["system.long-probe"] == {"in_flight": 1, "state": "taking"}
        ended = await job(client, url, WAIT)
    assert (ended["status"], ended["result"]["steps"], ended["result"]["resumed_from"]) == ("succeeded", 20, 0)
    assert ended["result"]["process"] != os.getpid()
    lease = await lease_of(deployment, url)
    assert (lease["state"], lease["outbox"], lease["body"]) == ("done", [], b"")


async def test_no_more_jobs_are_taken_than_there_are_slots(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics") as pools, gateway() as client:
        urls = [await submit(client, steps=8, step_s=0.1) for _ in range(9)]

        async def full() -> bool:
            health: Any = pools["diagnostics"].health()["system.long-probe"]
            assert health["in_flight"] <= 4
            return bool(health["in_flight"] == 4)

        await eventually(full)
        async with raw_store(deployment) as store:
            assert await store["leases"].count_documents({}) == 4, "the others wait at the broker, for anybody"
        ended = [await job(client, url, WAIT) for url in urls]
    assert [found["status"] for found in ended] == ["succeeded"] * 9


@pytest.mark.parametrize(
    ("failure", "status", "error"),
    [
        ("reject", "failed", "/problems/invalid-input"),
        ("error", "dead", "/problems/attempts-exhausted"),
        ("kill", "dead", "/problems/attempts-exhausted"),
    ],
)
@pytest.mark.slow
async def test_a_child_that_fails(deployment: Deployment, failure: str, status: str, error: str) -> None:
    async with running("ledger", "dead_letters", "diagnostics"), gateway() as client:
        url = await submit(client, steps=2, step_s=0, failure=failure)
        ended = await job(client, url, {"Prefer": "wait=60"})
        assert (ended["status"], ended["error"]["type"]) == (status, error)
        if status == "dead":
            [letter] = await letters(deployment)
            assert letter["error_type"] == {"error": "ProbeFailed", "kill": "ChildDied"}[failure]
            assert len(letter["attempts"]) == 4
            assert letter["fingerprint"] == ended["error"]["fingerprint"]


async def test_a_retry_goes_on_from_the_checkpoint(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        url = await submit(client, steps=10, step_s=0.02, checkpoint_every=2, failure="error", fail_attempts=1)
        ended = await job(client, url, WAIT)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    assert (ended["result"]["resumed_from"], ended["result"]["epoch"]) == (4, 2)


@pytest.mark.slow
async def test_a_job_whose_worker_is_killed_goes_on_at_another(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_LEASE_S", "1.5")
    async with running("ledger", "reaper"), gateway() as client:
        async with PoolProcess(tmp_path / "first", "diagnostics") as first:
            url = await submit(client, steps=40, step_s=0.1)
            await at_step(client, url, 0.2)
            [child] = await children_of(first.pid)
            await first.kill_alone()
            await eventually(lambda: gone(child))
        async with PoolProcess(tmp_path / "second", "diagnostics"):
            ended = await job(client, url, WAIT)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1), "a lapsed lease is no failed attempt"
    assert ended["result"]["resumed_from"] >= 8
    assert ended["result"]["epoch"] == 3, "the claim, the reaper's, the second claim"


async def taken(deployment: Deployment, queue: str) -> Wanted:
    connection = await aio_pika.connect(deployment.broker.url)
    async with connection, connection.channel() as channel:
        message = await (await channel.get_queue(queue)).get(timeout=5)
        await message.ack()
    envelope = Envelope.from_headers(message.headers)
    return Wanted(envelope.job_id, envelope.kind, 0, 1, dict(message.headers), message.body, claim="")


async def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
async def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes_up(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_LEASE_S", "1.5")
    async with running("ledger", "reaper"), gateway() as client, AsyncExitStack() as stack:
        with monkeypatch.context() as patched:  # until then the broker hands messages to the frozen worker
            patched.setenv("MILLRACE_BROKER_HEARTBEAT_S", "2")
            first = await stack.enter_async_context(PoolProcess(tmp_path / "first", "diagnostics"))
        url = await submit(client, steps=30, step_s=0.1)
        await at_step(client, url, 0.2)
        os.kill(first.pid, signal.SIGSTOP)
        try:

            async def lapsed() -> bool:
                return bool((await lease_of(deployment, url))["lapses"] == 1)

            await eventually(lapsed, within_s=15)
            async with PoolProcess(tmp_path / "second", "diagnostics"):
                ended = await job(client, url, WAIT)
        finally:
            os.kill(first.pid, signal.SIGCONT)

        async def noticed() -> bool:
            return any(line["event"] in ("lease_lost", "job_stopped") for line in await first.log())

        await eventually(noticed, within_s=15)
        assert await job(client, url) == ended
    assert (ended["status"], ended["result"]["epoch"]) == ("succeeded", 3)


@pytest.mark.slow
async def test_a_stopping_worker_gives_its_long_jobs_back(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_DRAIN_S", "0.2")
    async with running("ledger"), gateway() as client:
        async with PoolProcess(tmp_path / "first", "diagnostics") as first:
            url = await submit(client, steps=30, step_s=0.1)
            await at_step(client, url, 0.2)
            assert await first.stop() == 0
            lease = await lease_of(deployment, url)
            assert (lease["state"], lease["epoch"], lease["lapses"]) == ("queued", 1, 0)
        async with PoolProcess(tmp_path / "second", "diagnostics"):
            ended = await job(client, url, WAIT)
    assert (ended["status"], ended["attempt"], ended["result"]["epoch"]) == ("succeeded", 1, 2)
    assert ended["result"]["resumed_from"] >= 6


@pytest.mark.slow
async def test_an_outcome_that_was_decided_is_published_by_the_reaper(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_LEASE_S", "1")
    monkeypatch.setenv("MILLRACE_FAILPOINTS", "settle.before-publish:1")
    worker = PoolProcess(tmp_path, "diagnostics")
    await worker.start()
    monkeypatch.delenv("MILLRACE_FAILPOINTS")
    async with running("ledger", "reaper"), gateway() as client:
        url = await submit(client, steps=1, step_s=0)
        ended = await job(client, url, WAIT)
        assert not worker.running
    assert (ended["status"], ended["result"]["epoch"]) == ("succeeded", 1)
    await worker.kill()


@pytest.mark.slow
async def test_a_long_job_that_takes_every_worker_with_it_becomes_a_dead_letter(deployment: Deployment) -> None:
    async with running("ledger", "dead_letters", "reaper"), gateway() as client, services() as shared:
        url = await submit(client)
        leases = Leases(shared.database, lease_s=0.05)
        command = await taken(deployment, names.work_queue("system.long-probe"))

        async def dead() -> bool:
            await leases.claim(replace(command, claim=uuid4().hex), "doomed")  # and is never heard of again
            return bool((await job(client, url))["status"] == "dead")

        await eventually(dead, within_s=30, every_s=0.1)
        [letter] = await letters(deployment)
    assert (letter["reason"], letter["error_type"]) == ("kills-worker", "WorkerKilled")
