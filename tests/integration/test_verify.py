"""Conservation on real parts: what is lost is named, published again, and counted once."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import httpx
import pytest
from redis.asyncio import Redis

from messaging import names, topology
from messaging.inspection import AmqpInspector, QueueCount, open_inspector
from messaging.publisher import BrokerUnavailable, open_publisher
from producers import reconciliation, verification
from producers.rebuilding import Rebuilding
from producers.reconciliation import Stock, reconcile, take_stock
from producers.verification import Problem, Report, Verdict
from schemas.jobs.system_probe import RunProbe
from schemas.lifecycle import JobState
from storage import database
from storage.database import connect
from storage.settings import StorageSettings
from telemetry import metrics
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.waiting import eventually
from tests.support.wire import Row, command, publish, raw_store

PROBES = names.work_queue("system.probe")
DEAD_NOW = {"failure": "error", "fail_attempts": 4095}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look follows at once: nothing here moves by itself."""
    monkeypatch.setattr(reconciliation, "_SECOND_LOOK_S", 0.05)


async def submit(client: httpx.AsyncClient, count: int = 1, **params: Any) -> list[str]:
    ids = []
    for _ in range(count):
        response = await client.post("/v1/jobs", json={"kind": "system.probe", "params": params})
        assert response.status_code == 202, response.text
        ids.append(response.json()["id"])
    return ids


async def stored(deployment: Deployment, ids: list[str], status: str) -> list[Row]:
    """These jobs, once the projection has all of them in this state."""
    async with raw_store(deployment) as store:

        async def look() -> list[Row]:
            found = await store["jobs"].find({"_id": {"$in": ids}, "status": status}).to_list()
            return found if len(found) == len(ids) else []

        return await eventually(look, within_s=20)


async def purge(deployment: Deployment, queue: str) -> None:
    connection = await aio_pika.connect(deployment.broker.url)
    async with connection, connection.channel() as channel:
        await (await channel.get_queue(queue)).purge()


async def examine(deployment: Deployment, settle_s: float = 5, margin_s: float = 0) -> Report:
    async with open_publisher(deployment.broker, "test") as publisher, connect(deployment.storage) as store:
        return await verification.verify(store, AmqpInspector(publisher.connection, 5), settle_s, margin_s)


async def reconciled(deployment: Deployment, margin_s: float = 0) -> Stock:
    async with (
        open_publisher(deployment.broker, "test") as publisher,
        open_inspector(deployment.broker, "test") as inspector,
        connect(deployment.storage) as store,
    ):
        return await reconcile(store, inspector, publisher, "test", margin_s)


async def test_what_has_ended_and_what_waits_is_conserved(deployment: Deployment) -> None:
    async with gateway() as client:
        async with running("ledger", "diagnostics"):
            ended = await submit(client, 3)
            await stored(deployment, ended, "succeeded")
        waiting = await submit(client, 2)
        behind = await examine(deployment, settle_s=0)
        async with running("ledger"):
            await stored(deployment, waiting, "queued")
        report = await examine(deployment)
    assert (behind.verdict, behind.stock.settled) == (Verdict.NOT_SETTLED, False)
    assert behind.as_json()["ledger_backlog"] == 2
    assert (report.verdict, report.findings) == (Verdict.CONSERVED, [])
    found = report.as_json()
    assert (found["accepted"], found["ended"]["succeeded"], found["live"]["queued"]) == (5, 3, 2)
    assert found["queues"][PROBES] == {"ready": 2, "consumers": 0}


async def test_a_lost_queue_is_noticed_and_its_jobs_run_again_from_their_documents(deployment: Deployment) -> None:
    async with gateway() as client:
        async with running("ledger"):
            ids = await submit(client, 5, payload={"a": [1, "ü", 2.5]})
            await submit_large(client, ids)
            await stored(deployment, ids, "queued")
        await purge(deployment, PROBES)
        young = await examine(deployment, settle_s=0, margin_s=60)
        report = await examine(deployment)
        stock = await reconciled(deployment)
        assert metrics.JOBS_UNACCOUNTED._value.get() == 6
        assert metrics.JOBS.labels(JobState.QUEUED)._value.get() == 6
        again = await reconciled(deployment)
        assert metrics.JOBS_UNACCOUNTED._value.get() == 0
        async with running("ledger", "diagnostics"):
            results = await stored(deployment, ids, "succeeded")
    assert (young.verdict, young.doubtful, young.findings) == (Verdict.NOT_SETTLED, 6, [])
    assert report.verdict is Verdict.VIOLATED
    assert {finding.job_id for finding in report.findings} == set(ids)
    assert {finding.problem for finding in report.findings} == {Problem.UNHELD}
    assert {orphan.job.id for orphan in stock.orphans} == set(ids)
    assert again.orphans == [], "the queue holds them again"
    assert {row["attempt"] for row in results} == {1}
    assert {json.dumps(row["result"]["payload"], ensure_ascii=False) for row in results if row.get("result")} == {
        '{"a": [1, "ü", 2.5]}'
    }


async def submit_large(client: httpx.AsyncClient, ids: list[str]) -> None:
    """One whose parameters lie in the blob store."""
    ids += await submit(client, payload={"text": "x" * 300_000})


async def test_the_broker_is_disposable_once_jobs_are_folded(deployment: Deployment) -> None:
    """Every queue deleted and declared anew: all that the broker ever held is gone."""
    async with gateway() as client, running("ledger"):
        ids = await submit(client, 3)
        await stored(deployment, ids, "queued")
    connection = await aio_pika.connect(deployment.broker.url)
    async with connection, connection.channel() as channel:
        for queue in reconciliation.queue_names():
            await channel.queue_delete(queue)
    gone = await examine(deployment)
    assert {finding.detail for finding in gone.findings} == {"its work queue does not exist"}
    stock = await reconciled(deployment)
    assert len(stock.orphans) == 3, "nobody can publish to what is not there; they stay findings"
    await topology.apply(deployment.broker.url)
    await reconciled(deployment)
    async with running("ledger", "diagnostics"):
        await stored(deployment, ids, "succeeded")
    assert (await examine(deployment)).verdict is Verdict.CONSERVED


async def test_a_long_job_whose_outcome_the_broker_lost_runs_again(deployment: Deployment) -> None:
    """Its lease is done with, and must not take the command for a late duplicate."""
    async with gateway() as client:
        async with running("ledger"):
            asked = {"kind": "system.long-probe", "params": {"steps": 1, "step_s": 0}}
            job_id = (await client.post("/v1/jobs", json=asked)).json()["id"]
            await stored(deployment, [job_id], "queued")
        async with running("diagnostics"), raw_store(deployment) as store:

            async def done() -> bool:
                return await store["leases"].find_one({"_id": job_id, "state": "done"}) is not None

            await eventually(done)
        await purge(deployment, names.LEDGER)
        assert [orphan.job.id for orphan in (await reconciled(deployment)).orphans] == [job_id]
        async with running("ledger", "diagnostics"):
            [row] = await stored(deployment, [job_id], "succeeded")
    assert row["result"]["epoch"] == 2


async def test_what_waits_in_a_tier_or_runs_or_is_leased_is_no_orphan(deployment: Deployment) -> None:
    async with gateway() as client, running("ledger", "diagnostics"):
        [retried] = await submit(client, failure="retry-later", fail_attempts=3)
        [busy] = await submit(client, delay_s=3)
        await stored(deployment, [busy], "running")
        held = await examine(deployment)
        await stored(deployment, [retried, busy], "succeeded")
    assert held.verdict is Verdict.CONSERVED, held.as_json()
    job = command(RunProbe)
    async with raw_store(deployment) as store:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        born = {"kind": "system.probe", "order": 1, "principal": "o", "created_at": long_ago, "updated_at": long_ago}
        await store["jobs"].insert_one({"_id": job.job_id, "status": "running", **born})
        lease = {"kind": "system.probe", "generation": 0, "attempt": 1, "epoch": 1, "worker": "w", "body": b"{}"}
        times = {"claimed_at": long_ago, "heartbeat_at": long_ago, "expires_at": long_ago, "headers": job.headers()}
        await store["leases"].insert_one({"_id": job.job_id, "state": "running", **lease, **times})
        leased = await examine(deployment)
        await store["leases"].delete_one({"_id": job.job_id})
        lost = await examine(deployment)
        await store["jobs"].delete_one({"_id": job.job_id})
        await store["leases"].insert_one({"_id": job.job_id, "state": "running", **lease, **times})
        stray = await examine(deployment)
    assert leased.verdict is Verdict.CONSERVED, "an expired lease is the reaper's"
    assert [finding.problem for finding in lost.findings] == [Problem.UNHELD]
    assert [finding.problem for finding in stray.findings] == [Problem.LEASE_WITHOUT_JOB]


@pytest.fixture
async def apart(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """With a Redis database of its own, in which no other test has left its feeds."""
    url = deployment.storage.redis_url.removesuffix("0") + "7"
    async with Redis.from_url(url) as redis:
        await redis.flushdb()
    monkeypatch.setenv("REDIS_URL", url)
    return replace(deployment, storage=StorageSettings())


async def rebuilt(deployment: Deployment) -> Rebuilding:
    async with open_publisher(deployment.broker, "test") as publisher, connect(deployment.storage) as store:
        await database.apply(deployment.storage.mongodb_url)
        rebuilding = Rebuilding(publisher, store, deployment.storage, "test")
        await rebuilding.run()
        return rebuilding


async def counts(deployment: Deployment) -> dict[str, QueueCount]:
    async with open_publisher(deployment.broker, "test") as publisher:
        found = await AmqpInspector(publisher.connection, 5).count(reconciliation.queue_names())
        return {name: count for name, count in found.items() if count.ready}


async def test_the_projection_is_rebuilt_from_what_broker_and_stores_hold(apart: Deployment) -> None:
    """Jobs in a queue, in a tier, under a lease, in a letter and in the live feed; then the collection is dropped."""
    deployment = apart
    async with gateway() as client:
        async with running("ledger", "diagnostics"):
            ended = await submit(client, payload={"kept": True})
            ended += await submit(client, failure="reject")
            await submit_large(client, ended)
            await stored(deployment, ended[:1], "succeeded")
            await stored(deployment, ended[1:2], "failed")
            await stored(deployment, ended[2:], "succeeded")
        async with running("ledger"):
            waiting = await submit(client, 150)
            await stored(deployment, waiting, "queued")
    leased, dead, tiered = command(RunProbe), command(RunProbe), command(RunProbe)
    await publish(deployment, names.retry_tier(64), PROBES, b"{}", tiered.headers())
    now = datetime.now(UTC).replace(microsecond=0)
    async with raw_store(deployment) as store:
        lease = {"kind": "system.probe", "generation": 0, "attempt": 1, "epoch": 1, "lapses": 2, "worker": "w"}
        times = {
            "claimed_at": now,
            "heartbeat_at": now,
            "expires_at": now,
            "headers": leased.headers(),
            "body": b"{}",
        }
        await store["leases"].insert_one({"_id": leased.job_id, "state": "running", **lease, **times})
        died = {"error_type": "E", "error_detail": "why", "fingerprint": "f", "died_at": now, "state": "open"}
        message = {"headers": dead.headers(), "body": b"{}", "queue": PROBES, "kind": dead.kind}
        await store["dead_letters"].insert_one(
            {"_id": "letter", "job_id": dead.job_id, "reason": "exhausted", **died, **message}
        )
        before = {row["_id"]: row for row in await store["jobs"].find().to_list()}
        await store.drop_collection("jobs")
        rebuilding = await rebuilt(deployment)
        held = await counts(deployment)
        async with running("ledger"):
            after = await eventually(lambda: _all(store, len(before) + 3), within_s=20)
            twice = await rebuilt(deployment)
            await eventually(lambda: _folded(deployment), within_s=20)
            again = await _all(store, len(before) + 3)
    assert rebuilding.found == {"leases": 1, "dead letters": 1, "live feeds": 153, "queues": 151}
    assert twice.found == rebuilding.found | {"live feeds": 156}, "the ledger has fed what it folded"
    assert (held[PROBES].ready, held[names.retry_tier(64)].ready) == (150, 1), "everything is where it was"
    for job_id, row in before.items():
        assert after[job_id] == row, job_id
    assert again == after, "a second rebuild changes nothing"
    assert (after[leased.job_id]["status"], after[leased.job_id]["worker"]) == ("running", "w")
    assert (after[tiered.job_id]["status"], after[tiered.job_id]["params"]) == ("queued", {})
    assert (after[dead.job_id]["status"], after[dead.job_id]["finished_at"]) == ("dead", now)
    assert after[dead.job_id]["error"]["type"] == "attempts-exhausted"
    async with running("ledger", "diagnostics"):
        await stored(deployment, waiting, "succeeded")


async def _all(store: Any, count: int) -> dict[str, Row]:
    found = {row["_id"]: row for row in await store["jobs"].find().to_list()}
    return found if len(found) == count else {}


async def _folded(deployment: Deployment) -> bool:
    return names.LEDGER not in await counts(deployment)


@pytest.mark.slow
async def test_the_command_line_says_it_by_its_exit_status(apart: Deployment) -> None:
    deployment = apart

    def verify(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "millrace", "verify", "--json", *arguments]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    async with gateway() as client, running("ledger"):
        ids = await submit(client, 2)
        await stored(deployment, ids, "queued")
    assert verify()[0] == 0
    await purge(deployment, PROBES)
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    async with raw_store(deployment) as store:
        await store["jobs"].update_many({}, {"$set": {"updated_at": long_ago}})
    status, found = verify("--settle", "0")
    assert (status, found["verdict"]) == (1, "violated")
    assert {finding["job_id"] for finding in found["findings"]} == set(ids)
    status, found = verify("--rebuild", "--settle", "0")
    assert found["rebuilt"]["live feeds"] == 2


async def test_a_broker_that_is_away_is_no_finding(deployment: Deployment) -> None:
    async with open_publisher(deployment.broker, "test") as publisher, connect(deployment.storage) as store:
        inspector = AmqpInspector(publisher.connection, 5)
        assert (await take_stock(store, inspector)).orphans == []
        await publisher.connection.close()
        with pytest.raises(BrokerUnavailable):
            await take_stock(store, inspector)
