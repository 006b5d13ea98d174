"""Cancelling a job wherever it is, and deadlines that pass."""

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from messaging import names, retry
from tests.conftest import Deployment
from tests.support.processes import PoolProcess, gateway, running
from tests.support.waiting import eventually
from tests.support.wire import is_drained, raw_store

WAIT = {"Prefer": "wait=20"}


async def submit(
    client: httpx.AsyncClient, kind: str = "system.probe", headers: dict[str, str] | None = None, **params: Any
) -> str:
    response = await client.post("/v1/jobs", json={"kind": kind, "params": params}, headers=headers or {})
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


async def job(client: httpx.AsyncClient, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(url, headers=headers or {})).json()
    return found


async def reaches(client: httpx.AsyncClient, url: str, *states: str) -> dict[str, Any]:
    async def there() -> dict[str, Any]:
        found = await job(client, url)
        return found if found["status"] in states else {}

    return await eventually(there, within_s=20)


async def test_a_queued_job_is_cancelled_and_skipped_by_a_worker_that_heard_nothing(deployment: Deployment) -> None:
    async with running("ledger"), gateway() as client:
        url = await submit(client, payload={"a": 1})
        cancelled = await client.post(f"{url}/cancel", json={"reason": "wrong input"})
        assert cancelled.status_code == 200
        body = cancelled.json()
        assert (body["status"], body["error"]["type"]) == ("cancelled", "/problems/cancelled")
        assert body["error"]["detail"] == "by operator: wrong input"
        again = await client.post(f"{url}/cancel")
        assert (again.status_code, again.json()) == (200, body), "cancelling is idempotent"
        async with running("diagnostics"):
            await eventually(lambda: is_drained(deployment, names.work_queue("system.probe")))
            fresh = await submit(client)
            assert (await job(client, fresh, WAIT))["status"] == "succeeded"
        assert await job(client, url) == body


async def test_a_running_job_is_stopped(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics") as pools, gateway() as client:
        url = await submit(client, delay_s=60)
        await reaches(client, url, "running")
        cancelled = (await client.post(f"{url}/cancel")).json()
        assert (cancelled["status"], cancelled["error"]["detail"]) == ("cancelled", "by operator")
        assert cancelled["started_at"] is not None

        async def idle() -> bool:
            health: Any = pools["diagnostics"].health()["system.probe"]
            return bool(health["in_flight"] == 0)

        await eventually(idle)
        assert await is_drained(deployment, names.work_queue("system.probe"))
        assert await job(client, url) == cancelled


async def test_a_running_child_is_stopped_with_everything_it_started(deployment: Deployment, tmp_path: Path) -> None:
    async with running("ledger"), gateway() as client, PoolProcess(tmp_path, "diagnostics") as worker:
        url = await submit(client, "system.long-probe", steps=1000, step_s=0.1)
        await reaches(client, url, "running")
        children = psutil.Process(worker.pid).children(recursive=True)
        assert children
        cancelled = (await client.post(f"{url}/cancel")).json()
        assert cancelled["status"] == "cancelled"

        async def gone() -> bool:
            return not psutil.Process(worker.pid).children(recursive=True)

        await eventually(gone)

        async def done() -> bool:
            async with raw_store(deployment) as store:
                lease = await store["leases"].find_one({"_id": url.rpartition("/")[2]})
            return lease is not None and lease["state"] == "done"

        await eventually(done)
        assert await job(client, url) == cancelled


async def test_a_job_between_two_attempts_is_cancelled(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_TIERS_S", (4,))  # long enough to be cancelled in, on a busy machine too
    async with running("ledger", "diagnostics") as pools, gateway() as client:
        url = await submit(client, failure="error", fail_attempts=1)

        async def waits_for_retry() -> bool:
            return bool((await job(client, url))["attempt"] == 2)

        await eventually(waits_for_retry)
        cancelled = (await client.post(f"{url}/cancel")).json()
        assert (cancelled["status"], cancelled["attempt"]) == ("cancelled", 2)
        await eventually(lambda: is_drained(deployment, names.retry_tier(4)))
        await eventually(lambda: is_drained(deployment, names.work_queue("system.probe")))
        assert pools["diagnostics"].health()["system.probe"] == {"in_flight": 0, "state": "taking"}
        assert await job(client, url) == cancelled


async def test_an_unknown_job_and_a_wrong_body_are_refused(deployment: Deployment) -> None:
    async with running("ledger"), gateway() as client:
        assert (await client.post(f"/v1/jobs/{'0' * 32}/cancel")).status_code == 404
        url = await submit(client)
        refused = await client.post(f"{url}/cancel", json={"reasons": "typo"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/reasons")


@pytest.mark.slow
async def test_cancelling_races_completion_hundreds_of_times(deployment: Deployment) -> None:
    """Whoever comes first stands, for whoever looks and whenever."""
    rng = random.Random(5)
    async with running("ledger", "diagnostics"), gateway() as client:

        async def race(number: int) -> tuple[str, dict[str, Any]]:
            url = await submit(client, payload={"n": number}, delay_s=rng.choice([0, 0.005, 0.02, 0.3]))
            await client.post(f"{url}/cancel")
            return url, await reaches(client, url, "succeeded", "cancelled")

        ended = []
        for start in range(0, 400, 20):
            ended += await asyncio.gather(*(race(number) for number in range(start, start + 20)))
        later = [await job(client, url) for url, _ in ended]
    assert later == [found for _, found in ended], "an end is an end"
    states = [found["status"] for found in later]
    assert set(states) == {"succeeded", "cancelled"}, "the race was no race"
    for number, found in enumerate(later):
        if found["status"] == "succeeded":
            assert (found["result"]["payload"], found["error"]) == ({"n": number}, None)
        else:
            assert found["result"] is None


async def test_a_job_that_nobody_started_in_time_is_aborted_without_a_worker(deployment: Deployment) -> None:
    async with running("ledger", "reaper"), gateway() as client:
        url = await submit(client, headers={"Cancel-After": "1s"})
        aborted = await reaches(client, url, "aborted")
        assert aborted["error"]["type"] == "/problems/deadline-missed"
        async with running("diagnostics"):
            await eventually(lambda: is_drained(deployment, names.work_queue("system.probe")))
        assert await job(client, url) == aborted


async def test_a_long_job_is_not_started_after_its_deadline(deployment: Deployment) -> None:
    async with running("ledger"), gateway() as client:
        url = await submit(client, "system.long-probe", headers={"Cancel-After": "1s"}, steps=1)
        started = asyncio.get_running_loop().time()
        await eventually(lambda: after(started + 1.1))
        async with running("diagnostics"):
            aborted = await job(client, url, WAIT)
    assert (aborted["status"], aborted["started_at"]) == ("aborted", None)


async def after(moment: float) -> bool:
    return asyncio.get_running_loop().time() > moment


async def test_a_retry_that_would_come_after_the_deadline_ends_the_job(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        url = await submit(client, headers={"Cancel-After": "2s"}, failure="error")
        aborted = await job(client, url, WAIT)
    assert aborted["status"] == "aborted"
    assert "ProbeFailed: this probe was asked to raise" in aborted["error"]["detail"]
