"""Webhooks, to a receiver that behaves in every way."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from consumers.notifications.lines import AT_ONCE
from consumers.runtime.pool import RunningPool
from messaging import names
from messaging.publisher import open_publisher
from producers.outbox import Outbox
from schemas.jobs.system_probe import RunProbe
from schemas.lifecycle import JobSucceeded
from storage.blobs import BlobStore
from tests.conftest import Deployment
from tests.support import wire
from tests.support.jobs import submit
from tests.support.processes import PoolProcess, gateway, running
from tests.support.receivers import Receiver, receiver
from tests.support.servers import Servers
from tests.support.waiting import eventually

WAIT = {"Prefer": "wait=20"}


@pytest.fixture
async def server(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setenv("MILLRACE_NOTIFICATIONS_ALLOWED_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("MILLRACE_NOTIFICATIONS_ANSWER_S", "1")
    monkeypatch.setenv("MILLRACE_PUBLIC_URL", "https://millrace.example")
    async with receiver() as found:
        yield found


@pytest.fixture
async def pools(server: Receiver) -> AsyncIterator[dict[str, RunningPool]]:
    async with running("ledger", "diagnostics", "notifications", "reaper", "dead_letters") as found:
        yield found


@pytest.fixture
async def client(pools: dict[str, RunningPool]) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway() as found:
        yield found


async def add(client: httpx.AsyncClient, url: str, *topics: str) -> dict[str, Any]:
    answer = await client.post("/v1/webhooks", json={"url": url, "topics": topics or ["system.probe.*"]})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/webhooks/{answer.json()['id']}"
    found: dict[str, Any] = answer.json()
    return found


async def probe(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    answer = await client.post("/v1/jobs", json={"kind": "system.probe", "params": params}, headers=WAIT)
    found: dict[str, Any] = answer.json()
    return found


async def log(client: httpx.AsyncClient, webhook: str, count: int = 1, state: str = "") -> list[dict[str, Any]]:
    """The delivery log, once it has so many entries, all in this state."""

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await client.get(f"/v1/webhooks/{webhook}/deliveries")).json()["items"]
        there = len(items) == count and all(not state or item["state"] == state for item in items)
        return items if there else []

    return await eventually(enough, within_s=20)


def opened(secret: str, server: Receiver, path: str, number: int = 0) -> dict[str, Any]:
    """What a request says, verified as its receiver would. Raises WebhookVerificationError."""
    request = server.of(path)[number]
    found: dict[str, Any] = Webhook(secret).verify(request.body, request.headers)
    return found


async def test_the_end_of_a_job_is_told_once_and_can_be_verified(client: httpx.AsyncClient, server: Receiver) -> None:
    made = await add(client, server.at("ok"), "system.probe.succeeded")
    await add(client, server.at("ok/other"), "text.*.*", "system.probe.failed")
    job = await probe(client, payload={"hello": "world"})
    (entry,) = await log(client, made["id"], state="delivered")
    told = opened(made["secret"], server, "ok")
    assert told["type"] == entry["type"] == "system.probe.succeeded"
    assert told["data"]["job_id"] == entry["job_id"] == job["id"]
    assert told["data"]["result"]["payload"] == {"hello": "world"}
    assert told["data"]["links"]["job"] == f"https://millrace.example/v1/jobs/{job['id']}"
    assert told["timestamp"] == job["finished_at"]
    with pytest.raises(WebhookVerificationError):
        opened("whsec_" + "A" * 43 + "=", server, "ok")
    (attempt,) = entry["attempts"]
    assert (attempt["status"], attempt["response"], attempt["error"]) == (200, "thanks", None)
    assert 0 < attempt["duration_s"] < 1
    sent = entry["request"]
    assert (sent["url"], sent["headers"]["webhook-id"]) == (server.at("ok"), entry["event"])
    assert len(server.requests) == 1, "the other endpoint asked for something else"

    paths = ("/v1/webhooks", "/v1/jobs", f"/v1/jobs/{entry['id']}")
    whole = json.dumps([(await client.get(path)).json() for path in paths])
    assert '"notification.send"' in whole
    assert "whsec_" not in whole


async def test_two_outcomes_of_one_job_are_one_event(
    client: httpx.AsyncClient, server: Receiver, deployment: Deployment
) -> None:
    """A worker that is killed between its outcome and its acknowledgement leaves two, under two ids. Nor are the ends
    of notifications told of, though `#` asks for all."""
    made = await add(client, server.at("ok"), "#")
    job = await probe(client)
    await log(client, made["id"], state="delivered")
    now = datetime.now(UTC)
    again = JobSucceeded(started_at=now, finished_at=now, result={})
    async with open_publisher(deployment.broker, "test") as publisher:
        outbox = Outbox(publisher, BlobStore(deployment.storage.blobs))
        for _ in range(3):
            envelope = wire.command(RunProbe, job_id=job["id"])
            await outbox.tell(envelope.event(again, source="test"), again)
    await probe(client)
    entries = await log(client, made["id"], 2, state="delivered")
    assert len({entry["event"] for entry in entries}) == len(server.requests) == 2


async def test_a_repeat_with_its_idempotency_key_adds_nothing(client: httpx.AsyncClient, server: Receiver) -> None:
    key, asked = {"Idempotency-Key": "once"}, {"url": server.at("ok"), "topics": ["system.probe.*"]}
    first, second = [await client.post("/v1/webhooks", json=asked, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code, second.json()) == (201, 201, first.json())
    assert ("idempotent-replayed" in first.headers, second.headers["idempotent-replayed"]) == (False, "true")
    other = await client.post("/v1/webhooks", json=asked | {"topics": ["#"]}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert [each["id"] for each in (await client.get("/v1/webhooks")).json()] == [first.json()["id"]]


async def test_a_receiver_that_hangs_has_its_share_and_another_is_served(
    client: httpx.AsyncClient, server: Receiver
) -> None:
    hanging, other = await add(client, server.at("slow")), await add(client, server.at("ok"))
    for _ in range(AT_ONCE + 5):
        assert (await client.post(f"/v1/webhooks/{hanging['id']}/test")).status_code == 202
    await client.post(f"/v1/webhooks/{other['id']}/test")
    await log(client, other["id"], state="delivered")
    assert 0 < server.most_held["slow"] <= AT_ONCE


async def test_a_secret_is_rotated_with_both_valid_for_a_while(client: httpx.AsyncClient, server: Receiver) -> None:
    made = await add(client, server.at("ok"))
    at = f"/v1/webhooks/{made['id']}"
    rotated = (await client.post(f"{at}/rotate-secret")).json()
    assert rotated["secrets"] == 2
    assert rotated["secret"] != made["secret"]
    tested = (await client.post(f"{at}/test", headers=WAIT)).json()
    assert tested["result"] == {"state": "delivered", "receipt": "200"}
    for secret in (made["secret"], rotated["secret"]):
        assert opened(secret, server, "ok")["type"] == "notification.test"
    last = (await client.post(f"{at}/rotate-secret", json={"keep_old_s": 0})).json()
    await client.post(f"{at}/test", headers=WAIT)
    assert opened(last["secret"], server, "ok", 1)["type"] == "notification.test"
    with pytest.raises(WebhookVerificationError):
        opened(rotated["secret"], server, "ok", 1)
    assert (await client.get(at)).json()["secrets"] == 1


BAD = {
    "500": (500, "answered 500"),
    "redirect": (302, "302, and redirects are not followed: /ok"),
    "slow": (None, "ReadTimeout"),
    "drop": (None, "RemoteProtocolError: Server disconnected without sending a response."),
    "garbage": (None, "RemoteProtocolError"),
    "long-header": (None, "RemoteProtocolError"),
    "gone": (410, "answered 410"),
}
GOOD = {"half": "half", "huge": "a" * 4_000, "endless": "a" * 20}


async def test_whatever_a_receiver_does_is_written_down(client: httpx.AsyncClient, server: Receiver) -> None:
    paths = [*BAD, *GOOD]
    made = {path: (await add(client, server.at(path)))["id"] for path in paths}
    made["nobody"] = (await add(client, "http://127.0.0.1:9/"))["id"]
    made["no-name"] = (await add(client, "http://receiver.invalid/"))["id"]
    for webhook in made.values():
        assert (await client.post(f"/v1/webhooks/{webhook}/test")).status_code == 202
    entries = {path: (await log(client, webhook))[0] for path, webhook in made.items()}
    for path, (status, error) in BAD.items():
        attempt = entries[path]["attempts"][0]
        assert (attempt["status"], attempt["error"][: len(error)]) == (status, error), path
        assert attempt["duration_s"] < 2, path
    for path, beginning in GOOD.items():  # the status has said all there is
        attempt = entries[path]["attempts"][0]
        assert (entries[path]["state"], attempt["status"]) == ("delivered", 200), path
        assert attempt["response"].startswith(beginning), path
        assert len(attempt["response"]) <= 4_000
    assert server.sent["huge"] < 20_000_000
    assert "cannot be resolved" in entries["no-name"]["attempts"][0]["error"]
    assert entries["nobody"]["attempts"][0]["error"].startswith("ConnectError")
    assert entries["500"]["state"] == "pending"
    assert not server.of("ok"), "the redirect was followed"
    gone = (await client.get(f"/v1/webhooks/{made['gone']}")).json()
    assert (gone["enabled"], gone["disabled_because"]) == (False, "it answered 410: it wants nothing any more")
    assert entries["gone"]["state"] == "failed"


async def test_a_failed_attempt_is_retried_with_the_same_id(client: httpx.AsyncClient, server: Receiver) -> None:
    made = await add(client, server.at("500"))
    await probe(client)

    async def failing() -> bool:
        return bool((await client.get(f"/v1/webhooks/{made['id']}")).json()["failing_since"])

    await eventually(failing)
    server.instead["500"] = "ok"
    (entry,) = await log(client, made["id"], state="delivered")
    assert [attempt["status"] for attempt in entry["attempts"]] == [500, 200]
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1
    assert len({request.body for request in server.requests}) == 1
    assert (await client.get(f"/v1/webhooks/{made['id']}")).json()["failing_since"] is None


async def _requests(server: Receiver, count: int) -> bool:
    return len(server.requests) >= count


async def test_what_waits_longer_than_any_tier_waits_in_the_store(
    client: httpx.AsyncClient, server: Receiver, deployment: Deployment
) -> None:
    made = await add(client, server.at("later"))
    await probe(client)
    (entry,) = await log(client, made["id"], state="pending")
    why = f"/v1/jobs/{entry['id']}/why"

    async def waits() -> dict[str, Any]:
        found: dict[str, Any] = (await client.get(why)).json()
        return found if found["state"] == "waiting-for-retry" else {}

    found = await eventually(waits)
    assert "waits in the store" in found["summary"]
    assert found["retry"]["tier_s"] is None
    server.instead["later"] = "ok"
    async with wire.raw_store(deployment) as store:
        (scheduled,) = await store["schedule"].find().to_list()
        left_s = (scheduled["not_before"] - datetime.now(UTC)).total_seconds()
        assert 7_100 < left_s < 1.25 * 7_200
        await store["schedule"].update_one({}, {"$set": {"not_before": datetime.now(UTC)}})
        (entry,) = await log(client, made["id"], state="delivered")
        assert [attempt["status"] for attempt in entry["attempts"]] == [503, 200]
        assert await store["schedule"].count_documents({}) == 0


async def test_an_endpoint_that_fails_for_days_is_disabled_with_a_notice_and_recovers_what_it_missed(
    client: httpx.AsyncClient, server: Receiver, deployment: Deployment
) -> None:
    made = await add(client, server.at("500"))
    at = f"/v1/webhooks/{made['id']}"
    began = datetime.now(UTC)
    async with wire.raw_store(deployment) as store:
        changes = {"$set": {"failing_since": began - timedelta(days=6)}}
        await store["webhooks"].update_one({"_id": made["id"]}, changes)
    await probe(client)

    async def disabled() -> dict[str, Any]:
        found: dict[str, Any] = (await client.get(at)).json()
        return {} if found["enabled"] else found

    found = await eventually(disabled)
    assert found["disabled_because"].startswith("nothing came through since ")

    async def noticed() -> list[tuple[str, str]]:
        inbox = (await client.get("/v1/notifications")).json()
        return [(told["type"], told["title"]) for told in inbox["items"]]

    assert await eventually(noticed) == [("webhook.disabled", "A webhook was disabled")]
    await log(client, made["id"], 1, state="failed")  # at its next attempt
    requests = len(server.requests)
    await probe(client)
    entries = await log(client, made["id"], 2, state="failed")
    assert len(server.requests) == requests, "a disabled endpoint is not asked"
    assert entries[0]["attempts"][0]["error"].startswith("the webhook is disabled")

    server.instead["500"] = "ok"
    assert (await client.patch(at, json={"enabled": True})).json()["failing_since"] is None
    late = await client.post(f"{at}/recover", json={"since": datetime.now(UTC).isoformat()})
    assert late.json() == {"count": 0, "more": False}
    recovered = [await client.post(f"{at}/recover", json={"since": began.isoformat()}) for _ in range(2)]
    assert [answer.json()["count"] for answer in recovered] == [2, 0]
    entries = await log(client, made["id"], 4)
    assert Counter(entry["state"] for entry in entries) == {"failed": 2, "delivered": 2}
    events = {entry["event"] for entry in entries}
    assert {entry["event"] for entry in entries if entry["resends"]} == events


async def test_one_delivery_is_replayed(client: httpx.AsyncClient, server: Receiver) -> None:
    made = await add(client, server.at("ok"))
    await probe(client)
    (entry,) = await log(client, made["id"], state="delivered")
    at = f"/v1/webhooks/{made['id']}/deliveries"
    replayed = await client.post(f"{at}/{entry['id']}/replay")
    assert replayed.status_code == 202
    entries = await log(client, made["id"], 2, state="delivered")
    assert entries[0]["resends"] == entry["id"]
    assert entries[0]["id"] == replayed.json()["resent_by"]
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1
    assert (await client.post(f"{at}/{'0' * 32}/replay")).status_code == 404
    first = (await client.get(f"{at}?limit=1")).json()
    second = (await client.get(first["next"])).json()
    assert [first["items"][0]["id"], second["items"][0]["id"]] == [entry["id"] for entry in entries]
    assert second["next"] is None


async def test_a_large_result_goes_by_link(client: httpx.AsyncClient, server: Receiver) -> None:
    made = await add(client, server.at("ok"))
    await probe(client, payload={"text": "a" * 30_000})
    await log(client, made["id"], state="delivered")
    told = opened(made["secret"], server, "ok")
    assert len(server.requests[0].body) < 20_000
    assert (told["data"]["result"], told["data"]["result_omitted"]) == (None, True)


async def test_a_private_address_is_refused_and_so_is_what_is_no_url(
    client: httpx.AsyncClient, server: Receiver
) -> None:
    wrong = ["ftp://example.com/", "http://", "http://user:secret@example.com/", "nothing"]
    answers = [await client.post("/v1/webhooks", json={"url": url, "topics": ["#"]}) for url in wrong]
    assert [answer.json()["errors"][0]["pointer"] for answer in answers] == ["/url"] * len(wrong)
    for topic in ("model.train.started", "Model.*", "a..b"):
        answer = await client.post("/v1/webhooks", json={"url": server.at("ok"), "topics": [topic]})
        assert answer.status_code == 422
    for url in ("http://10.1.2.3/", "http://169.254.169.254/latest", f"http://[::ffff:10.0.0.1]:{server.port}/"):
        made = await add(client, url)
        job = (await client.post(f"/v1/webhooks/{made['id']}/test", headers=WAIT)).json()
        assert (job["status"], job["error"]["type"]) == ("failed", "/problems/address-not-allowed")


async def bound(servers: Servers, deployment: Deployment) -> set[str]:
    """The keys that the queue of notifications gets."""
    vhost = deployment.broker.url.rpartition("/")[2]
    async with httpx.AsyncClient(base_url=str(servers.rabbitmq.management_url), auth=("guest", "guest")) as admin:
        found = (await admin.get(f"/api/queues/{vhost}/{names.NOTIFICATIONS}/bindings")).json()
    return {binding["routing_key"] for binding in found}


async def test_a_webhook_is_changed_and_gone_with_what_only_it_asked_for(
    client: httpx.AsyncClient, server: Receiver, servers: Servers, deployment: Deployment
) -> None:
    made = await add(client, server.at("ok"))
    at = f"/v1/webhooks/{made['id']}"
    assert {"#.died", "model.train.failed", "system.probe.failed"} <= await bound(servers, deployment)
    changed = await client.patch(at, json={"topics": ["system.*.failed"], "description": "mine"})
    assert (changed.json()["topics"], changed.json()["url"]) == (["system.*.failed"], server.at("ok"))
    keys = await bound(servers, deployment)
    assert "system.*.failed" in keys
    assert "system.probe.failed" not in keys
    await probe(client)
    await probe(client, failure="reject")
    (entry,) = await log(client, made["id"], state="delivered")
    assert opened(made["secret"], server, "ok")["data"]["error"]["type"] == "invalid-input"
    assert (await client.delete(at)).status_code == 204
    keys = await bound(servers, deployment)
    assert "#.died" in keys
    assert "system.*.failed" not in keys
    assert [(await client.get(path)).status_code for path in (at, f"{at}/deliveries")] == [404, 404]
    assert (await client.get("/v1/webhooks")).json() == []
    params = {"channel": "webhook", "target": made["id"], "event": entry["event"], "job_id": entry["job_id"]}
    answer = await client.post("/v1/jobs", json={"kind": "notification.send", "params": params}, headers=WAIT)
    assert answer.json()["error"]["type"] == "/problems/receiver-gone"


@pytest.mark.slow
async def test_every_event_arrives_and_is_logged_once_though_the_pool_is_killed_in_the_middle(
    deployment: Deployment, server: Receiver, tmp_path: Path
) -> None:
    count = 500
    async with running("ledger", "diagnostics"), gateway() as client, PoolProcess(tmp_path, "notifications") as pool:
        made = [await add(client, server.at(f"ok/{number}")) for number in range(2)]
        accepted = await submit(client, "system.probe", count, lambda number: {"payload": {"n": number}})
        assert len(accepted) == count
        for share in (0.25, 1.0):
            await eventually(lambda share=share: _requests(server, int(share * count)), within_s=30)  # type: ignore[misc]
            assert pool.running
            await pool.kill()
            await pool.start()
        assert len(server.requests) < 2 * count, "it was killed when all was done"

        async def all_logged() -> bool:
            async with wire.raw_store(deployment) as store:
                return await store["deliveries"].count_documents({"state": "delivered"}) >= 2 * count

        await eventually(all_logged, within_s=60, every_s=0.2)
        async with wire.raw_store(deployment) as store:
            entries = await store["deliveries"].find().to_list()
    for number, webhook in enumerate(made):
        logged = Counter(entry["event"] for entry in entries if entry["target"] == webhook["id"])
        received = Counter(request.headers["webhook-id"] for request in server.of(f"ok/{number}"))
        assert set(logged.values()) == {1}
        assert logged.keys() == received.keys()
        assert len(received) == count
        assert {entry["job_id"] for entry in entries if entry["target"] == webhook["id"]} == set(accepted)
