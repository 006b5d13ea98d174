"""Conversations: what was said and answered stays, is told to the model again, and is read while it is written."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import from_json

from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.served import served_gateway
from tests.support.writers import save, tiny_llama

WAIT = {"Prefer": "wait=60"}
DRAFT: dict[str, Any] = {"model": "tiny", "title": "The mill", "system": "Be brief.", "options": {"max_tokens": 12}}


@pytest.fixture(autouse=True)
def models(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_GENERATION_DEVICE", "cpu")
    monkeypatch.setenv("MILLRACE_GENERATION_THREADS", "1")
    save(tiny_llama(), tmp_path / "models" / "tiny", endless=True)


async def begin(client: httpx.AsyncClient, **fields: Any) -> str:
    made = await client.post("/v1/conversations", json={**DRAFT, **fields})
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == made.json()["links"]["self"]
    return str(made.headers["Location"])


async def say(client: httpx.AsyncClient, at: str, content: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(f"{at}/messages", json={"content": content, **more}, headers=WAIT, timeout=90)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, str, Any]]:
    """Id, name and data."""
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "event" in event:
            yield event.get("id", ""), event["event"], from_json(event["data"])
            event = {}


async def test_the_model_is_told_what_was_said_before() -> None:
    async with running("ledger", "generation"), served_gateway() as client:
        at = await begin(client)
        first = await say(client, at, "Hi")
        assert (first["message"]["role"], first["answer"]["status"]) == ("user", "completed")
        assert first["answer"]["usage"]["completion_tokens"] == 12

        async with client.stream("POST", f"{at}/messages", json={"content": "And?", "stream": True}) as response:
            told = [event async for event in events(response)]
        assert [told[0][1], told[-1][1]] == ["message.started", "message.completed"]
        answer = told[-1][2]
        assert "".join(data["text"] for _, name, data in told if name == "message.delta") == answer["content"]
        async with client.stream("GET", answer["links"]["events"], headers={"Last-Event-ID": told[1][0]}) as response:
            assert [event async for event in events(response)] == told[2:]

        job = (await client.get(answer["links"]["job"])).json()
        assert [(each["role"], each["content"]) for each in job["params"]["messages"]] == [
            ("system", "Be brief."),
            ("user", "Hi"),
            ("assistant", first["answer"]["content"]),
            ("user", "And?"),
        ]
        page = (await client.get(f"{at}/messages?limit=3")).json()
        rest = (await client.get(page["next"])).json()
        listed = [*page["items"], *rest["items"]]
        assert [each["content"] for each in reversed(listed)] == [
            "Hi", first["answer"]["content"], "And?", answer["content"],
        ]  # fmt: skip
        assert rest["next"] is None

        await say(client, at, "water " * 60)
        dropped = await say(client, at, "Now?")
        assert dropped["answer"]["dropped_messages"] == 2
        refused = await say(client, at, "water " * 90, options={"max_tokens": 12, "overflow": "refuse"})
        assert refused["answer"]["status"] == "failed"
        assert refused["answer"]["error"]["type"] == "/problems/input-too-long"
        assert (await say(client, at, "Now?"))["answer"]["status"] == "completed", "the refused one is not told"


async def test_they_are_made_changed_and_forgotten() -> None:
    async with running("ledger"), gateway() as client:
        at, other = await begin(client), await begin(client, title="Another", system=None)
        changed = await client.patch(at, json={"title": "The race", "system": "", "options": {"temperature": 1.0}})
        assert (changed.json()["title"], changed.json()["system"]) == ("The race", None)
        assert (await client.get(at)).json() == changed.json()
        page = (await client.get("/v1/conversations?limit=1")).json()
        assert page["items"] == [changed.json()], "what changed last comes first"
        assert [each["links"]["self"] for each in (await client.get(page["next"])).json()["items"]] == [other]
        message = await client.post(f"{at}/messages", json={"content": "Hi"})
        assert message.status_code == 202
        assert (await client.delete(at)).status_code == 204
        for path in (at, f"{at}/messages", message.headers["Location"]):
            assert (await client.get(path)).status_code == 404


async def test_a_message_is_said_once_and_one_at_a_time() -> None:
    async with running("ledger"), gateway() as client:
        at = await begin(client)
        key = {"Idempotency-Key": "one"}
        first = await client.post(f"{at}/messages", json={"content": "Hi"}, headers=key)
        again = await client.post(f"{at}/messages", json={"content": "Hi"}, headers=key)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json()["answer"]["id"] == first.json()["answer"]["id"]
        other = await client.post(f"{at}/messages", json={"content": "Ho"}, headers=key)
        assert other.json()["type"] == "/problems/idempotency-key-reused"
        early = await client.post(f"{at}/messages", json={"content": "And?"})
        assert (early.status_code, early.json()["type"]) == (409, "/problems/conflict")
        await client.post(f"{first.json()['answer']['links']['job']}/cancel")
        assert (await client.get(first.headers["Location"])).json()["status"] == "failed"
        both = await asyncio.gather(
            *(client.post(f"{at}/messages", json={"content": text}) for text in ("one", "two"))
        )
        assert sorted(each.status_code for each in both) == [202, 409]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**DRAFT, "model": "../etc"}, "/model"),
        ({**DRAFT, "options": {"temperature": 2.5}}, "/options/temperature"),
        ({**DRAFT, "options": {"stop": ["x"] * 9}}, "/options/stop"),
        ({**DRAFT, "sistem": "x"}, "/sistem"),
        ({"title": "x"}, "/model"),
    ],
)
async def test_bad_input_is_named(body: dict[str, Any], pointer: str) -> None:
    async with gateway() as client:
        refused = await client.post("/v1/conversations", json=body)
        assert refused.status_code == 422
        assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]
        assert (await client.get("/v1/conversations/none")).status_code == 404
