"""Texts through broker, pool and a device's child process: as a whole, read along, and over the death of a worker."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydantic_core import from_json

from tests.conftest import Deployment
from tests.support.processes import PoolProcess, running
from tests.support.served import served_gateway
from tests.support.writers import save, tiny_llama

WAIT = {"Prefer": "wait=60"}
LONG = {"model": "tiny", "prompt": "The mill race", "options": {"max_tokens": 200}}


@pytest.fixture(autouse=True)
def models(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that never ends a text by itself."""
    monkeypatch.setenv("MILLRACE_GENERATION_DEVICE", "cpu")
    monkeypatch.setenv("MILLRACE_GENERATION_THREADS", "1")
    save(tiny_llama(max_position_embeddings=4096), tmp_path / "models" / "tiny", endless=True)


async def generate(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    response = await client.post("/v1/inference/generate", json={**LONG, **params}, headers=WAIT, timeout=90)
    job: dict[str, Any] = response.json()
    assert (response.status_code, job["kind"]) == (200, "text.generate"), response.text
    return job


async def reading(
    client: httpx.AsyncClient, job_id: str, after: str = ""
) -> AsyncGenerator[tuple[str, str, Any], None]:
    """Id, name and data of each event."""
    headers = {"Last-Event-ID": after} if after else {}
    async with client.stream("GET", f"/v1/jobs/{job_id}/text", headers=headers, timeout=90) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        event: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "event" in event:
                yield event.get("id", ""), event["event"], from_json(event["data"])
                event = {}


async def test_a_pool_at_work(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one, since each starts a process that imports torch."""
    monkeypatch.setenv("MILLRACE_GENERATION_REQUESTS", "3")
    async with running("ledger", "generation"), served_gateway() as client:
        await texts_are_written_side_by_side_and_each_as_if_alone(client)
        await a_text_is_read_along_and_resumed_by_its_tokens(client)
        await cancelling_makes_room_for_the_next(client)
        await a_lost_device_costs_nobody_the_text(client)


async def texts_are_written_side_by_side_and_each_as_if_alone(client: httpx.AsyncClient) -> None:
    chat = {"prompt": None, "messages": [{"role": "user", "content": "Hi"}]}
    drawn = {"max_tokens": 40, "temperature": 0.8, "seed": 11}
    jobs = await asyncio.gather(
        generate(client), generate(client, options={"max_tokens": 5}), generate(client, **chat, options=drawn)
    )
    alone = await generate(client, **chat, options=drawn)
    results = [job["result"] for job in jobs]
    assert [result["usage"]["completion_tokens"] for result in results] == [200, 5, 40]
    assert results[0]["text"].startswith(results[1]["text"])
    assert (results[2]["text"], results[2]["seed"]) == (alone["result"]["text"], 11)
    assert results[0]["model"]["context"] == 4096
    refused = await generate(client, model="none")
    assert (refused["status"], refused["error"]["type"]) == ("failed", "/problems/model-not-found")


async def a_text_is_read_along_and_resumed_by_its_tokens(client: httpx.AsyncClient) -> None:
    job = (await client.post("/v1/inference/generate", json=LONG)).json()
    events = [event async for event in reading(client, job["id"])]
    end = events[-1][2]
    assert [name for _, name, _ in events[-2:]] == ["text", "ended"]
    assert "".join(data["text"] for _, name, data in events if name == "text") == end["result"]["text"]
    assert len(events) > 2, "it came in pieces"
    at, _, _ = events[0]
    assert [event async for event in reading(client, job["id"], after=at)] == events[1:]
    assert (await client.get(f"/v1/jobs/{job['id']}/text", headers={"Last-Event-ID": "ended"})).status_code == 204


async def cancelling_makes_room_for_the_next(client: httpx.AsyncClient) -> None:
    """Three are as many as it writes at a time here."""
    endless = {**LONG, "options": {"max_tokens": 4_000}}
    jobs = [(await client.post("/v1/inference/generate", json=endless)).json()["id"] for _ in range(3)]
    for job_id in jobs:
        async with aclosing(reading(client, job_id)) as events:
            assert (await anext(events))[1] == "text"
        await client.post(f"/v1/jobs/{job_id}/cancel")
    assert (await generate(client, options={"max_tokens": 3}))["status"] == "succeeded"
    told = [event async for event in reading(client, jobs[0])]
    assert told[-1][2]["status"] == "cancelled"


async def a_lost_device_costs_nobody_the_text(client: httpx.AsyncClient) -> None:
    """The child process dies, not the worker: the next attempt goes on in a new one."""
    long = {**LONG, "options": {"max_tokens": 1_000}}
    job = (await client.post("/v1/inference/generate", json=long)).json()
    text, killed = "", False
    async for _, name, data in reading(client, job["id"]):
        if name == "text" and not killed:
            killed = True
            _device().kill()
        text += data["text"] if name == "text" else ""
    assert (data["status"], data["attempt"]) == ("succeeded", 2)
    assert text == data["result"]["text"]


@pytest.mark.slow
async def test_the_death_of_the_worker_leaves_no_seam(deployment: Deployment, tmp_path: Path) -> None:
    """SIGKILL in the middle of a text, unnoticed by its reader: another worker goes on where the first one was."""
    long = {**LONG, "options": {"max_tokens": 1_200}}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with running("ledger"), served_gateway() as client, AsyncExitStack() as workers:
        first = await workers.enter_async_context(PoolProcess(tmp_path / "one", "generation"))
        expected = await generate(client, **long)
        job = (await client.post("/v1/inference/generate", json=long)).json()
        text, ends = "", []
        async with aclosing(reading(client, job["id"])) as events:
            async for at, name, data in events:
                if name == "ended":
                    break
                text += data["text"]
                ends.append(int(at))
                if len(ends) == 2:
                    await first.kill()
                    await workers.enter_async_context(PoolProcess(tmp_path / "two", "generation"))
        assert data["status"] == "succeeded"
        assert data["result"]["timing"]["first_token_s"] is None, "the second worker had something to go on from"
        assert text == data["result"]["text"] == expected["result"]["text"]
        assert ends == sorted(set(ends)), "no token was told twice"


def _device() -> psutil.Process:
    serving = [each for each in psutil.Process().children() if "consumers.devices.serving" in each.cmdline()]
    return serving[-1]
