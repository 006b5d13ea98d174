"""What of notifications needs no server: topics, addresses, signatures, mails."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import httpcore
import pytest
from pydantic import TypeAdapter, ValidationError
from standardwebhooks import Webhook

from consumers.notifications.addresses import CheckedBackend, NotAllowed, may_reach
from consumers.notifications.letters import digest, single
from consumers.notifications.lines import AT_ONCE, MOST_WAITING, Line
from consumers.notifications.mails import next_full
from consumers.notifications.notice import Notice
from consumers.notifications.signing import signed
from consumers.runtime.verdicts import NotNow
from producers.notifications import Receiver, Rules, event_of, new_secret, notification_id
from schemas.jobs.notification_send import Channel
from schemas.notifications import ChannelPreferences, Digest, EmailPreferences, Preferences
from schemas.topics import EndTopic, ending, matches
from storage.documents import Browser, Endpoint, StoredSecret

NOW = datetime(2026, 11, 25, 14, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("topic", "key", "expected"),
    [
        ("model.train.succeeded", "model.train.succeeded", True),
        ("model.train.*", "model.train.failed", True),
        ("model.*", "model.train.failed", False),
        ("model.#", "model.train.failed", True),
        ("#", "model.train.failed", True),
        ("#.died", "model.train.died", True),
        ("#.died", "died", True),
        ("*.*.died", "model.predict-dataset.died", True),
        ("*.died", "model.train.died", False),
        ("model.#.succeeded", "model.train.failed", False),
        ("model.#.train.#", "model.train.failed", True),
    ],
)
def test_topics_match_as_in_amqp(topic: str, key: str, expected: bool) -> None:
    assert matches(topic, key) is expected


@pytest.mark.parametrize("topic", ["model.train.*", "model.#", "#", "*.*.died", "#.failed"])
def test_a_topic_narrowed_to_ends_matches_the_ends_that_it_did_and_nothing_else(topic: str) -> None:
    for fact in ("succeeded", "failed", "aborted", "cancelled", "died", "started", "progressed"):
        key = f"model.train.{fact}"
        narrowed = any(matches(each, key) for each in ending(topic))
        assert narrowed is (matches(topic, key) and fact not in ("started", "progressed"))


def test_a_topic_that_no_end_matches_is_refused() -> None:
    adapter: TypeAdapter[str] = TypeAdapter(EndTopic)
    for topic in ("model.train.started", "", ".", "model..died", "model.train.Died", "a" * 200 + ".*"):
        with pytest.raises(ValidationError):
            adapter.validate_python(topic)
    assert adapter.validate_python("model.train.died") == "model.train.died"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "239.255.255.250", "255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "::ffff:169.254.169.254"),
    ],
)
def test_what_is_not_public_may_not_be_reached(address: str) -> None:
    assert not may_reach(ip_address(address), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public_may(address: str) -> None:
    assert may_reach(ip_address(address), ())


def test_a_network_may_be_allowed_by_name() -> None:
    allowed = (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))
    assert may_reach(ip_address("127.0.0.1"), allowed)
    assert may_reach(ip_address("::ffff:127.0.0.1"), allowed)
    assert may_reach(ip_address("fd12::1"), allowed)
    assert not may_reach(ip_address("10.0.0.1"), allowed)


class _Connecting(httpcore.AsyncMockBackend):
    """Refuses the first address."""

    def __init__(self) -> None:
        super().__init__([])
        self.hosts: list[str] = []

    async def connect_tcp(self, host: str, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        self.hosts.append(host)
        if len(self.hosts) == 1:
            raise httpcore.ConnectError("refused")
        return await super().connect_tcp(host, *args, **options)


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Each look-up of a name gives the next of these."""
    coming = iter(answers)

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(coming)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_the_connection_goes_to_an_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means something else at the second look is asked for once."""
    _resolving(monkeypatch, ["10.0.0.1", "8.8.8.8", "8.8.4.4"], ["127.0.0.1"])
    backend = CheckedBackend(())
    backend._backend = connecting = _Connecting()  # type: ignore[assignment]
    await backend.connect_tcp("receiver.example", 443, timeout=5)
    assert connecting.hosts == ["8.8.8.8", "8.8.4.4"]
    with pytest.raises(NotAllowed, match=r"receiver.example is not public"):
        await backend.connect_tcp("receiver.example", 443, timeout=5)


def test_signatures_are_those_of_the_reference_by_every_valid_secret() -> None:
    secrets = [new_secret() for _ in range(3)]
    stored = [
        StoredSecret(key=secrets[0]),
        StoredSecret(key=secrets[1], until=datetime.now(UTC) + timedelta(hours=1)),
        StoredSecret(key=secrets[2], until=datetime.now(UTC) - timedelta(hours=1)),
    ]
    headers = signed("msg_1", datetime.now(UTC), b'{"a": 1}', stored)
    assert len(headers["webhook-signature"].split()) == 2
    for secret in secrets[:2]:
        assert Webhook(secret).verify(b'{"a": 1}', headers) == {"a": 1}


def _endpoint(principal: str, *topics: str) -> Endpoint:
    return Endpoint(
        id=f"wh_{principal}",
        principal=principal,
        url="https://example.com",
        description="",
        topics=list(topics),
        secrets=[],
        created_at=NOW,
        updated_at=NOW,
    )


def test_people_are_told_of_their_own_jobs_by_the_channels_they_chose() -> None:
    browser = Browser(id="push_1", principal="ada", endpoint="https://push.example", keys={}, created_at=NOW)
    said = Preferences(
        in_app=ChannelPreferences(topics=[]),
        email=EmailPreferences(topics=["#.failed"], address="ada@example.com"),
        web_push=ChannelPreferences(topics=["text.*.*"]),
    )
    found = Rules([_endpoint("ada", "text.#"), _endpoint("bob", "#")], {"ada": said}, [browser])
    webhook, mail, push = (
        Receiver(Channel.WEBHOOK, "wh_ada"),
        Receiver(Channel.EMAIL, "ada"),
        Receiver(Channel.WEB_PUSH, "push_1"),
    )
    assert found.receivers("ada", "text.embed.failed") == [webhook, mail, push]
    assert found.receivers("ada", "text.embed.succeeded") == [webhook, push]
    assert found.receivers("ada", "model.train.died") == []
    assert found.receivers("bob", "model.train.died") == [
        Receiver(Channel.WEBHOOK, "wh_bob"),
        Receiver(Channel.IN_APP, "bob"),
    ]
    assert found.receivers("eve", "text.embed.failed") == []


def test_an_event_is_the_end_of_one_generation_and_a_notification_one_of_its_receivers() -> None:
    assert event_of("a", 0) == event_of("a", 0) != event_of("a", 1)
    ids = {
        notification_id(event_of("a", 0), channel, target, again)
        for channel in Channel
        for target in ("x", "y")
        for again in ("", "before")
    }
    assert len(ids) == len(Channel) * 4


def test_mails_escape_what_they_tell() -> None:
    notice = Notice("msg_1", "text.embed.failed", NOW, "text.embed failed", "<script>&\n", job_id="1")
    letter = single(notice, "https://millrace.example/v1/jobs/1?a=1&b=2")
    assert "<script>&" in letter.text
    assert "&lt;script&gt;&amp;" in letter.html
    assert 'href="https://millrace.example/v1/jobs/1?a=1&amp;b=2"' in letter.html
    assert "<script" not in letter.html
    subject = single(Notice("msg_1", "x", NOW, "a\r\nBcc: all@example.com", ""), None).subject
    assert subject == "a Bcc: all@example.com"


def test_a_digest_has_every_line() -> None:
    lines = [{"at": NOW, "title": f"job {n}", "text": "It <took> 1 s.", "link": f"/v1/jobs/{n}"} for n in range(3)]
    letter = digest(lines)
    assert letter.subject == "3 jobs have ended"
    assert all(f"14:30 job {n}" in letter.text and f"14:30 job {n}" in letter.html for n in range(3))
    assert "It <took>" not in letter.html
    assert digest(lines[:1]).subject == "1 job has ended"


def test_digests_go_out_at_full_hours_and_days() -> None:
    assert next_full(Digest.HOURLY, NOW) == datetime(2026, 11, 25, 15, tzinfo=UTC)
    assert next_full(Digest.DAILY, NOW) == datetime(2026, 11, 26, tzinfo=UTC)


async def test_deliveries_to_one_receiver_are_few_at_a_time_and_the_rest_is_put_off() -> None:
    line, answered = Line(), asyncio.Event()
    under_way = 0

    async def deliver() -> None:
        nonlocal under_way
        async with line.turn():
            under_way += 1
            await answered.wait()

    async with asyncio.TaskGroup() as deliveries:
        for _ in range(AT_ONCE + MOST_WAITING):
            deliveries.create_task(deliver())
        await asyncio.sleep(0)
        assert under_way == AT_ONCE
        with pytest.raises(NotNow):
            await deliver()
        answered.set()
    assert under_way == AT_ONCE + MOST_WAITING
    await deliver()
