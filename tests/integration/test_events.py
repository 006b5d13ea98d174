"""Topics and jobs over HTTP, on server-sent events and on WebSockets: heard, resumed, refused, parted from."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import conversation
from gateway.routes import events
from schemas.listening import SOCKET_SAYINGS, ToldEvent
from tests.support.processes import running
from tests.support.served import served_gateway
from tests.support.told import Heard, hear, say, socket, topic_events
from tests.support.waiting import eventually

LIFE = ["queued", "running", "succeeded"]

pytestmark = pytest.mark.usefixtures("deployment")


async def submit(client: httpx.AsyncClient, **params: object) -> str:
    """The id of a job that has ended."""
    asked = {"kind": "system.probe", "params": params}
    response = await client.post("/v1/jobs", json=asked, headers={"Prefer": "wait=10"})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


async def begin(client: httpx.AsyncClient, **params: object) -> str:
    response = await client.post("/v1/jobs", json={"kind": "system.probe", "params": params})
    return str(response.json()["id"])


async def upcoming(events: AsyncIterator[Heard], count: int) -> list[Heard]:
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


async def test_a_topic_is_told_and_what_is_told_can_be_read() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        async with aclosing(topic_events(client, "system.probe.succeeded", "model.#")) as events:  # type: ignore[type-var]
            [subscribed] = await upcoming(events, 1)
            first, second = await submit(client, payload={"a": 1}), await submit(client, payload={"b": "\n\r"})
            one, two = await upcoming(events, 2)
        job = (await client.get(f"/v1/jobs/{first}")).json()
        resumed = topic_events(client, "system.probe.*", after=one.id)
        async with aclosing(resumed) as again:  # type: ignore[type-var]
            assert [heard.id for heard in await upcoming(again, 2)] == [one.id, two.id]
        assert subscribed.type == "subscribed"
        event = ToldEvent.model_validate(one.data)
        assert (event.topic, event.job, event.principal) == ("system.probe.succeeded", first, "operator")
        assert event.data is not None
        assert event.data["result"] == job["result"]
        assert str(event.order) == (await client.get(f"/v1/jobs/{first}")).headers["etag"].strip('"')
        assert (two.data["job"], two.data["data"]["result"]["payload"]) == (second, {"b": "\n\r"})


async def test_what_is_large_is_read_from_the_job() -> None:
    async with (
        running("ledger", "diagnostics"),
        served_gateway() as client,
        aclosing(topic_events(client, "system.probe.*")) as events,  # type: ignore[type-var]
    ):
        await upcoming(events, 1)
        await submit(client, payload={"a": "x" * 20_000})
        await submit(client, payload={"a": "x" * 300_000})
        told = await upcoming(events, 2)
    assert [heard.data["data"] for heard in told] == [None, None]


async def test_what_cannot_be_heard_is_refused() -> None:
    async with served_gateway() as client:
        typo = await client.get("/v1/events", params={"topic": "model.train.suceeded"})
        nothing = await client.get("/v1/events")
        place = await client.get("/v1/events", params={"topic": "#"}, headers={"Last-Event-ID": "7"})
        stranger = await client.get("/v1/events", params={"topic": "#"}, headers={"X-API-Key": "mr_no"})
    assert (typo.status_code, typo.json()["type"]) == (400, "/problems/invalid-query")
    assert "suceeded" in typo.json()["detail"]
    assert (nothing.status_code, place.status_code, stranger.status_code) == (400, 400, 401)
    assert place.json()["type"] == "/problems/invalid-header"


async def test_comments_keep_a_quiet_topic_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.2)
    async with served_gateway() as client, aclosing(topic_events(client, "#")) as found:  # type: ignore[type-var]
        told = await upcoming(found, 3)
    assert [heard.type for heard in told] == ["subscribed", "comment", "comment"]


async def test_a_gateway_that_stops_says_so_to_everybody() -> None:
    told: dict[str, list[str]] = {"topic": [], "job": []}

    async def listen(client: httpx.AsyncClient) -> None:
        async for heard in topic_events(client, "#"):
            told["topic"].append(heard.type)

    async def follow(client: httpx.AsyncClient, job_id: str) -> None:
        async with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    told["job"].append(line.removeprefix("event: "))

    async with running("ledger"), AsyncExitStack() as stack, AsyncExitStack() as serving:
        client = await serving.enter_async_context(served_gateway())
        mine = httpx.AsyncClient(base_url=client.base_url, headers=client.headers, trust_env=False)
        other = await stack.enter_async_context(mine)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        ws = await stack.enter_async_context(socket(other, "/v1/ws"))
        job_id = (await other.post("/v1/jobs", json={"kind": "system.probe"})).json()["id"]
        group.create_task(listen(other))
        group.create_task(follow(other, job_id))
        await eventually(lambda: _both(told))
        await say(ws, action="subscribe", topic="#")
        assert (await hear(ws))["type"] == "subscribed"
        async with asyncio.timeout(2):  # long before connections would be cut
            await serving.aclose()
        with pytest.raises(ConnectionClosed) as parted:
            await hear(ws)
    assert parted.value.rcvd is not None
    assert parted.value.rcvd.code == 1012
    assert told == {"topic": ["subscribed", "closing"], "job": ["queued", "closing"]}


async def _both(told: dict[str, list[str]]) -> bool:
    return all(told.values())


async def test_one_socket_hears_of_topics_and_of_jobs() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client, socket(client, "/v1/ws") as ws:
        await say(ws, action="subscribe", topic="system.probe.succeeded")
        async with asyncio.timeout(20):
            subscribed = await hear(ws)
            job_id = (
                await client.post("/v1/jobs", json={"kind": "system.probe", "params": {"delay_s": 0.3}})
            ).json()["id"]
            await say(ws, action="subscribe", job=job_id)
            told = [await hear(ws) for _ in range(4)]
            await say(ws, action="unsubscribe", topic="system.probe.succeeded")
            await say(ws, action="subscribe", topic="model.#")
            assert (await hear(ws))["topic"] == "model.#"
            unheard = await submit(client)
            await say(ws, action="subscribe", topic="system.#", after=subscribed["id"])
            again = [await hear(ws) for _ in range(4)]
    assert sorted(message["type"] for message in told) == ["event", "job", "job", "job"]
    assert [message["job"]["status"] for message in told if message["type"] == "job"] == [
        "queued",
        "running",
        "succeeded",
    ]
    assert again[0] == {"type": "subscribed", "topic": "system.#", "id": subscribed["id"]}
    assert [message["event"]["job"] for message in again[1:]] == [job_id, job_id, unheard]
    models = {model.model_fields["type"].default: model for model in SOCKET_SAYINGS}
    for message in [subscribed, *told, *again]:
        assert models[message["type"]].model_validate(message).model_dump(mode="json").keys() == message.keys()


async def test_what_cannot_be_done_on_a_socket_is_said_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_SUBSCRIPTIONS", 1)
    async with running("ledger"), served_gateway() as client, socket(client, "/v1/ws") as ws:
        refusals: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            for message in (
                "no JSON",
                '{"action": "listen"}',
                '{"action": "subscribe"}',
                '{"action": "subscribe", "topic": "model.tran.*"}',
                '{"action": "subscribe", "topic": "#", "after": "yesterday"}',
                json.dumps({"action": "subscribe", "job": "0" * 32}),
            ):
                await ws.send(message)
                refusals.append(await hear(ws))
            await say(ws, action="subscribe", topic="#")
            assert (await hear(ws))["type"] == "subscribed"
            await say(ws, action="subscribe", topic="model.#")
            refusals.append(await hear(ws))
            await ws.send("x" * 70_000)
            with pytest.raises(ConnectionClosed) as closed:
                await hear(ws)
    assert {refusal["type"] for refusal in refusals} == {"error"}
    assert [refusal["problem"]["status"] for refusal in refusals] == [422, 422, 422, 400, 422, 404, 422]
    assert refusals[3]["topic"] == "model.tran.*"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_a_socket_follows_one_job_to_its_end_and_resumes() -> None:
    async with running("ledger", "diagnostics"), served_gateway() as client:
        job_id = (await client.post("/v1/jobs", json={"kind": "system.probe", "params": {"delay_s": 0.3}})).json()[
            "id"
        ]
        async with asyncio.timeout(20):
            async with socket(client, f"/api/v1/jobs/{job_id}/ws") as ws:
                told = [json.loads(message) async for message in ws]
                assert ws.close_code == 1000
            async with socket(client, f"/v1/jobs/{job_id}/ws?after={told[0]['id']}") as ws:
                rest = [json.loads(message) async for message in ws]
    assert [message["job"]["status"] for message in told] == LIFE
    assert rest == told[1:]


async def test_a_socket_is_opened_by_those_who_may() -> None:
    async with running("ledger"), served_gateway() as client:
        key = client.headers["x-api-key"]
        async with socket(client, "/v1/ws", subprotocols=["millrace", key]) as ws:
            assert ws.subprotocol == "millrace"
        for refused, status, slug in (
            (socket(client, "/v1/ws", key="mr_no"), 401, "unauthenticated"),
            (socket(client, "/v1/ws", subprotocols=["millrace", "mr_no"]), 401, "unauthenticated"),
            (socket(client, f"/v1/jobs/{'0' * 32}/ws"), 404, "not-found"),
        ):
            with pytest.raises(InvalidStatus) as answer:
                async with refused:
                    pass
            assert answer.value.response.status_code == status
            assert json.loads(answer.value.response.body)["type"] == f"/problems/{slug}"
