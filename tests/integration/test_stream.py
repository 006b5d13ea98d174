"""A job's events as a stream: in order, resumable at every point, with and without Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest

from gateway.routes import jobs
from tests.support.processes import running
from tests.support.served import StreamEvent, served_gateway, stream, whole_stream
from tests.support.servers import Servers
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")


async def submit(client: httpx.AsyncClient, **params: object) -> str:
    response = await client.post("/v1/jobs", json={"kind": "system.probe", "params": params})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def jobs_in(events: list[StreamEvent]) -> list[StreamEvent]:
    return [event for event in events if event.id is not None]


@asynccontextmanager
async def no_redis(servers: Servers) -> AsyncIterator[None]:
    await servers.redis.kill()
    try:
        yield
    finally:
        await servers.redis.start()


async def test_events_come_in_order_and_the_last_one_carries_the_result() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        job_id = await submit(client, delay_s=0.6, payload={"a": 1})
        async with asyncio.timeout(10):
            events = jobs_in(await whole_stream(client, job_id))
        job = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert [event.event for event in events] == ["queued", "running", "succeeded"]
    ids = [event.id or 0 for event in events]
    assert ids == sorted(set(ids))
    assert [event.job["status"] for event in events] == [event.event for event in events]
    assert events[-1].job == job
    assert job["result"]["payload"] == {"a": 1}


async def test_a_stream_resumes_at_every_point_without_loss_or_repeat() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        job_id = await submit(client, delay_s=0.4, failure="error", fail_attempts=1)
        events = jobs_in(await whole_stream(client, job_id))
        ids = [event.id or 0 for event in events]
        assert len(ids) >= 4, "queued, running, queued again for the retry, succeeded"
        for cut in range(len(ids) - 1):
            for seen in {ids[cut], ids[cut] + 1, ids[cut + 1] - 1}:
                rest = jobs_in(await whole_stream(client, job_id, after=seen))
                assert [event.id for event in rest] == ids[cut + 1 :], f"after {seen}"
        assert jobs_in(await whole_stream(client, job_id, after=0)) == events


async def test_a_client_that_leaves_after_each_event_misses_nothing() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        job_id = await submit(client, delay_s=0.6)
        seen: list[StreamEvent] = []
        while not seen or seen[-1].event != "succeeded":
            after = seen[-1].id if seen else None
            async with asyncio.timeout(10), aclosing(stream(client, job_id, after)) as events:  # type: ignore[type-var]
                async for event in events:
                    if event.id is not None:
                        seen.append(event)
                        break
    assert [event.event for event in seen] == ["queued", "running", "succeeded"]


async def test_a_finished_job_is_told_at_once_and_once() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        job_id = await submit(client)
        await client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=5"})
        events = jobs_in(await whole_stream(client, job_id))
        again = await client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": str(events[-1].id)})
    assert (again.status_code, again.content) == (204, b""), "which tells an EventSource not to come again"
    assert [event.event for event in events][-1:] == ["succeeded"]


async def test_many_follow_one_job() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        job_id = await submit(client, delay_s=0.5)
        async with asyncio.timeout(10):
            streams = await asyncio.gather(*(whole_stream(client, job_id) for _ in range(20)))
    whole = ["queued", "running", "succeeded"]
    for events in streams:  # one that came late, while Redis did not answer in time, begins with what the store knew
        told = [event.event for event in jobs_in(events)]
        assert told
        assert told == whole[-len(told) :]


async def test_comments_keep_a_quiet_stream_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEEP_ALIVE_S", 0.05)
    async with running("ledger"), served_gateway() as client:
        job_id = await submit(client)
        async with asyncio.timeout(5), aclosing(stream(client, job_id)) as events:  # type: ignore[type-var]
            assert (await anext(events)).event == "queued"
            assert (await anext(events)).comment == "keep-alive"
            assert (await anext(events)).comment == "keep-alive"


async def test_streams_and_waits_work_without_redis_and_recover(servers: Servers) -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        async with no_redis(servers):
            job_id = await submit(client, delay_s=1.2)
            async with asyncio.timeout(20):
                events = jobs_in(await whole_stream(client, job_id))
            waited = await client.post("/v1/jobs", json={"kind": "system.probe"}, headers={"Prefer": "wait=10"})
            polled = await client.get(f"/v1/jobs/{job_id}")
            repeated = jobs_in(await whole_stream(client, job_id, after=0))
        later = await submit(client, delay_s=0.6)
        async with asyncio.timeout(10):
            recovered = jobs_in(await whole_stream(client, later))
    assert events[-1].event == "succeeded"
    assert events[-1].job == polled.json() == repeated[-1].job
    ids = [event.id or 0 for event in events]
    assert ids == sorted(set(ids))
    assert (waited.status_code, waited.json()["status"]) == (200, "succeeded")
    assert [event.event for event in recovered] == ["queued", "running", "succeeded"]


async def test_a_stream_outlives_its_redis(servers: Servers) -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        job_id = await submit(client, delay_s=1.5)
        seen: list[StreamEvent] = []

        async def follow() -> None:
            async for event in stream(client, job_id):
                seen.append(event)  # noqa: PERF401  # looked at while it grows

        following = asyncio.create_task(follow())

        async def is_running() -> bool:
            return bool(seen) and seen[-1].event == "running"

        await eventually(is_running)
        async with no_redis(servers):
            async with asyncio.timeout(20):
                await following
    assert [event.event for event in jobs_in(seen)] == ["queued", "running", "succeeded"]


async def test_a_wait_outlives_its_redis(servers: Servers) -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        waiting = asyncio.create_task(
            client.post(
                "/v1/jobs",
                json={"kind": "system.probe", "params": {"delay_s": 1}},
                headers={"Prefer": "wait=15", "Idempotency-Key": "outlives-its-redis"},
            )
        )

        async def listed() -> bool:
            return bool((await client.get("/v1/jobs?status=running")).json()["items"])

        await eventually(listed)
        async with no_redis(servers):
            async with asyncio.timeout(20):
                answered = await waiting
    assert (answered.status_code, answered.json()["status"]) == (200, "succeeded")
