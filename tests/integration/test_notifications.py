"""In the application, by mail, by web push, and what people want of them."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from functools import partial
from typing import Any

import http_ece
import httpx
import pytest
from aiosmtpd.smtp import SMTP
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid

from consumers.notifications.digesting import ask_for_digests
from storage import digests
from tests.conftest import Deployment
from tests.support import wire
from tests.support.processes import gateway, running, services
from tests.support.receivers import Receiver, receiver
from tests.support.served import served_gateway
from tests.support.waiting import eventually

WAIT = {"Prefer": "wait=20"}
POOLS = ("ledger", "diagnostics", "notifications")
PREFERENCES = "/v1/notifications/preferences"


async def probe(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    answer = await client.post("/v1/jobs", json={"kind": "system.probe", "params": params}, headers=WAIT)
    found: dict[str, Any] = answer.json()
    return found


async def prefer(client: httpx.AsyncClient, **channels: Any) -> None:
    answer = await client.put(PREFERENCES, json=channels)
    assert answer.status_code == 200, answer.text


async def inbox(client: httpx.AsyncClient, count: int) -> dict[str, Any]:
    async def enough() -> dict[str, Any]:
        found: dict[str, Any] = (await client.get("/v1/notifications")).json()
        return found if len(found["items"]) >= count else {}

    return await eventually(enough)


async def test_preferences_are_what_is_usual_until_somebody_says_otherwise(deployment: Deployment) -> None:
    async with gateway() as client:
        usual = (await client.get(PREFERENCES)).json()
        assert "model.train.*" in usual["in_app"]["topics"]
        assert (usual["email"]["topics"], usual["web_push"]["topics"]) == ([], [])
        email = {"address": "ada@example.com", "topics": ["#.died"], "digest": "daily"}
        await prefer(client, email=email, in_app={"topics": []})
        assert (await client.get(PREFERENCES)).json() == {
            "in_app": {"topics": []},
            "email": email,
            "web_push": {"topics": []},
        }
        wrong: dict[str, Any]
        for wrong in ({"email": {"address": "ada"}}, {"in_app": {"topics": ["x.started"]}}, {"pigeon": {}}):
            assert (await client.put(PREFERENCES, json=wrong)).status_code == 422


async def test_notifications_wait_in_the_application_until_they_are_read(deployment: Deployment) -> None:
    async with running(*POOLS), gateway() as client:
        await prefer(client, in_app={"topics": ["system.probe.*"]})
        jobs = [await probe(client), await probe(client, failure="reject")]
        found = await inbox(client, 2)
        by_job = {told["job_id"]: told for told in found["items"]}
        assert by_job.keys() == {job["id"] for job in jobs}
        told = by_job[jobs[1]["id"]]
        assert (told["type"], told["title"]) == ("system.probe.failed", "system.probe failed")
        assert "asked to be rejected" in told["text"]
        assert found["unread"] == 2
        first = (await client.get("/v1/notifications?limit=1")).json()
        second = (await client.get(first["next"])).json()
        assert first["items"] + second["items"] == found["items"]
        assert second["next"] is None
        read = await client.post("/v1/notifications/read", json={"ids": [told["id"]]})
        assert read.json() == {"unread": 1}
        unread = (await client.get("/v1/notifications?unread=true")).json()["items"]
        assert [told["job_id"] for told in unread] == [jobs[0]["id"]]
        assert (await client.post("/v1/notifications/read", json={})).json() == {"unread": 0}


async def events(client: httpx.AsyncClient, after: str = "") -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Ids and contents; the first one, empty, when the stream has begun."""
    headers = {"Last-Event-ID": after} if after else {}
    async with client.stream("GET", "/v1/notifications/events", headers=headers) as response:
        assert response.status_code == 200
        known = ""
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                yield "", {}
            elif name == "id":
                known = value
            elif name == "data":
                yield known, json.loads(value)


async def test_notifications_arrive_live_and_a_stream_resumes(deployment: Deployment) -> None:
    async with running(*POOLS), served_gateway() as client:
        await prefer(client, in_app={"topics": ["system.probe.*"]})
        await probe(client)
        await inbox(client, 1)
        loop = asyncio.get_running_loop()
        async with aclosing(events(client)) as live:  # type: ignore[type-var]  # a generator it is
            assert await anext(live) == ("", {})
            jobs = [await probe(client)]
            started = loop.time()
            known, told = await anext(live)
            assert told["job_id"] == jobs[0]["id"], "what was there before is in the list"
            assert loop.time() - started < 2.5, "nobody rang; it was looked for"
        jobs += [await probe(client) for _ in range(2)]
        await inbox(client, 4)
        async with aclosing(events(client, known)) as resumed:  # type: ignore[type-var]
            await anext(resumed)
            later = [(await anext(resumed))[1]["job_id"] for _ in range(2)]
        assert sorted(later) == sorted(job["id"] for job in jobs[1:]), "two at once may be told in either order"
        assert (await client.get("/v1/notifications/events", headers={"Last-Event-ID": "x"})).status_code == 400


class Mailbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.answer = "250 taken"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=default))
        return self.answer


@pytest.fixture
async def mailbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mailbox]:
    found = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(found), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("MILLRACE_NOTIFICATIONS_SMTP_URL", f"smtp://127.0.0.1:{port}")
    monkeypatch.setenv("MILLRACE_PUBLIC_URL", "https://millrace.example")
    try:
        yield found
    finally:
        server.close()


async def mails(mailbox: Mailbox, count: int) -> list[Message]:
    async def enough() -> bool:
        return len(mailbox.mails) >= count

    await eventually(enough)
    return mailbox.mails


def part(mail: Any, kind: str) -> str:
    found: str = mail.get_body((kind,)).get_content()
    return found


async def test_a_mail_tells_of_the_end_of_a_job(deployment: Deployment, mailbox: Mailbox) -> None:
    async with running(*POOLS), gateway() as client:
        await prefer(client, email={"address": "ada@example.com", "topics": ["system.probe.failed"]})
        mailbox.answer = "451 not now"
        job = await probe(client, failure="reject")
        mailbox.answer = "250 taken"
        (mail,) = await mails(mailbox, 1)
        assert (mail["to"], mail["subject"]) == ("ada@example.com", "system.probe failed")
        link = f"https://millrace.example/v1/jobs/{job['id']}"
        assert link in part(mail, "plain")
        assert f'href="{link}"' in part(mail, "html")
        assert mail["message-id"].endswith("@millrace>")
        mailbox.answer = "550 nobody is called so"
        refused = {"channel": "email", "target": "operator", "event": "msg_1"}
        sent = await client.post("/v1/jobs", json={"kind": "notification.send", "params": refused}, headers=WAIT)
        assert sent.json()["error"]["type"] == "/problems/refused-by-receiver"
        assert "nobody is called so" in sent.json()["error"]["detail"]


async def test_a_digest_tells_of_many_at_once(deployment: Deployment, mailbox: Mailbox) -> None:
    async with running(*POOLS), gateway() as client, wire.raw_store(deployment) as store:
        wanted = {"address": "ada@example.com", "topics": ["system.probe.*"], "digest": "hourly"}
        await prefer(client, email=wanted)
        jobs = [await probe(client) for _ in range(3)]

        async def held() -> bool:
            return await store["deliveries"].count_documents({"state": "held"}) == 3

        async def held_again() -> bool:
            return await store["held_notifications"].count_documents({}) == 1

        await eventually(held)
        assert not mailbox.mails
        (due,) = {row["due_at"] for row in await store["held_notifications"].find().to_list()}
        async with services() as shared:
            for _ in range(2):  # by two pools at once, it is one job
                await ask_for_digests(shared, due)
        (mail,) = await mails(mailbox, 1)
        assert mail["subject"] == "3 jobs have ended"
        assert all(job["id"] in part(mail, "plain") and job["id"] in part(mail, "html") for job in jobs)

        async def released() -> bool:
            return await store["held_notifications"].count_documents({}) == 0

        async def noted(state: str, count: int) -> bool:  # which comes after the release
            return await store["deliveries"].count_documents({"state": state}) == count

        await eventually(released)
        await eventually(partial(noted, "delivered", 4))
        assert len(mailbox.mails) == 1

        mailbox.answer = "550 nobody is called so"
        await probe(client)
        await eventually(held_again)
        async with services() as shared:
            await ask_for_digests(shared, due + timedelta(days=1))
            await eventually(released)
            assert await digests.due(shared.database, due + timedelta(days=1)) == [], (
                "what is refused is not asked again"
            )
        await eventually(partial(noted, "failed", 2))


async def test_without_a_mail_server_a_mail_says_so(deployment: Deployment) -> None:
    async with running(*POOLS), gateway() as client:
        await prefer(client, email={"address": "ada@example.com"})
        params = {"channel": "email", "target": "operator", "event": "msg_1"}
        sent = await client.post("/v1/jobs", json={"kind": "notification.send", "params": params}, headers=WAIT)
        assert sent.json()["error"]["type"] == "/problems/channel-not-set-up"


class Browser:
    """The keys of a browser, which nobody else can read its pushes with."""

    def __init__(self) -> None:
        self._private, self._auth = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)

    @property
    def keys(self) -> dict[str, str]:
        point = self._private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        encoded = (base64.urlsafe_b64encode(raw).rstrip(b"=").decode() for raw in (point, self._auth))
        return dict(zip(("p256dh", "auth"), encoded, strict=True))

    def read(self, content: bytes) -> dict[str, Any]:
        clear = http_ece.decrypt(content, private_key=self._private, auth_secret=self._auth, version="aes128gcm")
        found: dict[str, Any] = json.loads(clear)
        return found


@pytest.fixture
async def push_service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setenv("MILLRACE_NOTIFICATIONS_ALLOWED_NETWORKS", "127.0.0.0/8")
    async with receiver() as found:
        yield found


async def test_a_browser_gets_what_only_it_can_read(deployment: Deployment, push_service: Receiver) -> None:
    browser, at = Browser(), "/v1/notifications/push-subscriptions"
    async with running(*POOLS), gateway() as client:
        await prefer(client, web_push={"topics": ["system.probe.*"]})
        asked = {"endpoint": push_service.at("ok"), "expirationTime": None, "keys": browser.keys}
        made = (await client.post(at, json=asked)).json()
        job = await probe(client)

        async def pushed() -> bool:
            return bool(push_service.requests)

        await eventually(pushed)
        request = push_service.requests[0]
        assert browser.read(request.body)["title"] == "system.probe succeeded"
        assert browser.read(request.body)["url"].endswith(job["id"])
        assert (request.headers["content-encoding"], request.headers["ttl"]) == ("aes128gcm", "86400")
        authorization = request.headers["authorization"]
        assert Vapid.verify(authorization)
        key = (await client.get("/v1/notifications/push-key")).json()["key"]
        assert authorization.endswith(f",k={key}")
        claims = authorization.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert said["aud"] == f"http://127.0.0.1:{push_service.port}"
        assert said["exp"] > datetime.now(UTC).timestamp()

        push_service.instead["ok"] = "gone"
        await probe(client)

        async def unsubscribed() -> bool:
            return not (await client.get(at)).json()

        await eventually(unsubscribed)
        again = (await client.post(at, json=asked)).json()
        assert again["id"] == made["id"]
        assert (await client.delete(f"{at}/{made['id']}")).status_code == 204
        assert (await client.delete(f"{at}/{made['id']}")).status_code == 404
