"""`GET /v1/jobs/{id}/why` against real parts: what it says in each place where a job may stand."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import pytest
from redis.asyncio import Redis

from messaging import names
from schemas.resources import JobExplanation
from storage import workers
from storage.database import connect
from storage.workers import WorkerReport
from tests.conftest import Deployment
from tests.support.processes import PoolProcess, gateway, running
from tests.support.served import served_gateway
from tests.support.waiting import eventually
from tests.support.wire import raw_store

PROBES = names.work_queue("system.probe")


async def submit(client: httpx.AsyncClient, **params: Any) -> str:
    """A job that the ledger knows; its id."""
    response = await client.post("/v1/jobs", json={"kind": "system.probe", "params": params})
    assert response.status_code == 202, response.text
    job_id: str = response.json()["id"]
    return job_id


async def why(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    response = await client.get(f"/v1/jobs/{job_id}/why")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def standing(client: httpx.AsyncClient, job_id: str, state: str) -> dict[str, Any]:
    """The explanation, once it names this state."""

    async def look() -> dict[str, Any] | None:
        found = await why(client, job_id)
        return found if found["state"] == state else None

    found = await eventually(look, within_s=20)
    assert found is not None
    return found


def worker(name: str, **status: Any) -> WorkerReport:
    now = datetime.now(UTC)
    return WorkerReport(name, "host", "1", ["diagnostics"], now, now, {"diagnostics": {"system.probe": status}})


async def lease(deployment: Deployment, job_id: str, **changes: Any) -> None:
    """As a worker of a long kind would hold it."""
    now = datetime.now(UTC)
    held = {
        "_id": job_id,
        "schema_version": 1,
        "kind": "system.probe",
        "generation": 0,
        "attempt": 1,
        "epoch": 2,
        "lapses": 1,
        "state": "running",
        "worker": "mill-7",
        "claim": "c",
        "claimed_at": now,
        "heartbeat_at": now,
        "expires_at": now + timedelta(seconds=30),
        "headers": {},
        "body": b"",
        "outbox": [],
        "done_at": None,
    }
    async with raw_store(deployment) as store:
        await store["leases"].replace_one({"_id": job_id}, held | changes, upsert=True)


@pytest.mark.usefixtures("deployment")
async def test_a_queued_job_without_a_worker_says_so_and_knows_its_place() -> None:
    async with running("ledger"), gateway() as client:
        ids = [await submit(client) for _ in range(3)]
        found = await standing(client, ids[2], "no-worker")

        async def placed() -> bool:
            return bool((await why(client, ids[2]))["position"] == {"ahead": 2, "at_least": False})

        await eventually(placed)
    assert found["queue"] == {"name": PROBES, "ready": 3, "consumers": 0}
    assert (found["status"], found["kind"], found["job"]) == ("queued", "system.probe", ids[2])
    assert found["next"] == "Start a pool that runs system.probe."
    assert found["workers"] == found["missing"] == []


@pytest.mark.slow
async def test_a_real_worker_is_on_the_roster_and_off_it_when_it_stops(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with gateway() as client, connect(deployment.storage) as database:
        process = PoolProcess(tmp_path, "ledger", "diagnostics")
        async with process:
            job_id = await submit(client, delay_s=60)
            found = await standing(client, job_id, "running")
            [report] = await workers.roster(database)
            assert report.pools == ["ledger", "diagnostics"]
            assert report.of_kind("system.probe") is not None
            assert report.of_kind("text.embed") is None
            assert report.alive(datetime.now(UTC))
            assert [view["worker"] for view in found["workers"]] == [report.worker]
            assert report.worker in found["summary"]
            await process.kill()
            await database["workers"].update_one(
                {}, {"$set": {"heartbeat_at": datetime.now(UTC) - timedelta(minutes=1)}}
            )
            gone = await standing(client, job_id, "worker-gone")
            assert gone["workers"][0]["state"] == "gone"
            await process.start()
            assert await process.stop() == 0
            assert [report.worker for report in await workers.roster(database)] == [gone["workers"][0]["worker"]]


@pytest.mark.usefixtures("deployment")
async def test_a_retry_names_its_tier_and_its_time_and_what_went_wrong() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        job_id = await submit(client, failure="error", fail_attempts=1)
        found = await standing(client, job_id, "waiting-for-retry")
        ended = await standing(client, job_id, "finished")
    assert found["retry"]["attempt"] == 2
    assert found["retry"]["tier_s"] in (1, 2)
    assert found["retry"]["error"]["type"] == "/problems/attempt-failed"
    assert datetime.fromisoformat(found["retry"]["at"]) > datetime.now(UTC) - timedelta(seconds=30)
    assert ended["summary"] == "It has ended: succeeded."


async def test_a_paused_pool_says_why_and_until_when(deployment: Deployment) -> None:
    probe_at = (datetime.now(UTC) + timedelta(seconds=40)).isoformat()
    async with running("ledger"), gateway() as client, connect(deployment.storage) as database:
        await workers.report(database, worker("a", state="paused", reason="no device", probe_at=probe_at))
        job_id = await submit(client)
        found = await standing(client, job_id, "pool-paused")
        await workers.report(database, worker("b", state="taking", in_flight=1))
        waiting = await standing(client, job_id, "waiting-in-queue")
    assert "no device" in found["summary"]
    assert [(view["worker"], view["state"]) for view in found["workers"]] == [("a", "paused")]
    assert datetime.fromisoformat(found["workers"][0]["probe_at"]).timestamp() == pytest.approx(
        datetime.fromisoformat(probe_at).timestamp(), abs=0.01
    )
    assert {view["worker"]: view["in_flight"] for view in waiting["workers"]} == {"a": 0, "b": 1}


async def test_a_lease_tells_who_holds_the_job_and_when_it_expires(deployment: Deployment) -> None:
    async with running("ledger"), gateway() as client:
        job_id = await submit(client)
        await lease(deployment, job_id)
        held = await standing(client, job_id, "running-under-lease")
        past = datetime.now(UTC) - timedelta(seconds=90)
        await lease(deployment, job_id, heartbeat_at=past, expires_at=past + timedelta(seconds=30))
        expired = await standing(client, job_id, "lease-expired")
    assert held["lease"] | {"heartbeat_age_s": 0, "expires_in_s": 0} == {
        "worker": "mill-7",
        "state": "running",
        "epoch": 2,
        "lapses": 1,
        "heartbeat_age_s": 0,
        "expires_in_s": 0,
    }
    assert 0 <= held["lease"]["heartbeat_age_s"] < 20
    assert 0 < held["lease"]["expires_in_s"] <= 30
    assert expired["lease"]["expires_in_s"] < -50


async def test_a_job_that_nothing_holds_is_called_that(deployment: Deployment) -> None:
    async with running("ledger"), gateway() as client:
        job_id = await submit(client)
        await standing(client, job_id, "no-worker")
        connection = await aio_pika.connect(deployment.broker.url)
        async with connection, connection.channel() as channel:
            await (await channel.get_queue(PROBES)).purge()
        long_ago = datetime.now(UTC) - timedelta(minutes=5)
        async with raw_store(deployment) as store:

            async def aged() -> bool:
                result = await store["jobs"].update_one({"_id": job_id}, {"$set": {"updated_at": long_ago}})
                return bool(result.matched_count)

            await eventually(aged)
        async with Redis.from_url(deployment.storage.redis_url) as redis:
            await redis.delete(f"mr:job:{job_id}")  # where it is as young as it was
        found = await standing(client, job_id, "unheld")
    assert "no queue and no delay tier holds it" in found["summary"]


@pytest.mark.usefixtures("deployment")
async def test_a_job_that_the_ledger_has_not_seen_may_be_in_what_it_has_to_fold() -> None:
    async with gateway() as client:
        unknown = await client.get(f"/v1/jobs/{uuid4().hex}/why")
        job_id = await submit(client)
        found = await why(client, job_id)
    assert unknown.status_code == 404
    assert (found["state"], found["status"]) == ("ledger-behind", None)
    assert "1 messages" in found["summary"]


@pytest.mark.usefixtures("deployment")
@pytest.mark.slow
async def test_the_command_line_says_it_in_words_and_in_json() -> None:
    async def printed(client: httpx.AsyncClient, *arguments: str) -> str:
        environment = os.environ | {
            "MILLRACE_URL": str(client.base_url),
            "MILLRACE_API_KEY": client.headers["X-API-Key"],
        }
        command = [sys.executable, "-m", "millrace", "why", *arguments]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    async with running("ledger"), served_gateway() as client:
        job_id = await submit(client)
        await standing(client, job_id, "no-worker")
        words = await printed(client, job_id)
        found = JobExplanation.model_validate_json(await printed(client, job_id, "--json"))
    assert f"no-worker system.probe\nIt waits in {PROBES}, and no worker takes from it.\n" in words
    assert (found.state, found.job) == ("no-worker", job_id)
