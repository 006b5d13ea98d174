"""What a user can do while parts are away, and reads that need not wait to find out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway import watch as watch_module
from gateway.capabilities import Surroundings, capabilities, overall
from gateway.watch import StoreWatch
from messaging import names
from messaging.inspection import QueueCount
from storage.database import Database, StoreUnavailable

KINDS = ["a.b", "c.d"]
SERVED = {names.work_queue(kind): QueueCount(0, 1) for kind in KINDS} | {names.LEDGER: QueueCount(0, 1)}
WELL = Surroundings(store=True, redis=True, queues=SERVED)


def states(found: Surroundings) -> dict[str, str]:
    return {name: capability.state for name, capability in capabilities(found, KINDS).items()}


def test_all_is_well() -> None:
    assert set(states(WELL).values()) == {"ok"}
    assert overall(capabilities(WELL, KINDS)) == "ok"


def test_a_gateway_is_unavailable_when_it_can_neither_accept_nor_read() -> None:
    nothing = capabilities(Surroundings(store=False, redis=False, queues=None), KINDS)
    assert {capability.state for capability in nothing.values()} == {"away"}
    assert overall(nothing) == "unavailable"
    assert overall(capabilities(Surroundings(store=False, redis=False, queues=SERVED), KINDS)) == "degraded"
    assert overall(capabilities(Surroundings(store=True, redis=False, queues=None), KINDS)) == "degraded"


def test_a_kind_without_workers_degrades_only_while_its_jobs_wait() -> None:
    idle = SERVED | {names.work_queue("c.d"): QueueCount(0, 0)}
    waiting = SERVED | {names.work_queue("c.d"): QueueCount(3, 0)}
    assert states(Surroundings(store=True, redis=True, queues=idle))["submit"] == "ok"
    found = capabilities(Surroundings(store=True, redis=True, queues=waiting), KINDS)["submit"]
    assert (found.state, found.how) == ("degraded", "accepted and waiting, for no worker runs c.d")


def test_every_degradation_says_how() -> None:
    away = QueueCount(0, 0)
    for store in (True, False):
        for redis in (True, False):
            for queues in (None, SERVED, SERVED | {names.LEDGER: away}):
                found = capabilities(Surroundings(store=store, redis=redis, queues=queues), KINDS)
                assert all((capability.state == "ok") == (capability.how is None) for capability in found.values())


class Store:
    """Answers a ping as told: at once, never, or with an error."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()

    def __getitem__(self, _name: str) -> "Store":
        return self

    async def find_one(self, _query: Any) -> None:
        await self.answers.wait()


async def answer(value: int) -> int:
    return value


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(watch_module, "_PATIENCE_S", 0.01)
    others = asyncio.all_tasks()
    store = Store()
    yield store
    store.answers.set()  # as the driver's limits would, for nobody cancels an operation
    if asked := asyncio.all_tasks() - others - {asyncio.current_task()}:
        await asyncio.wait(asked)


async def test_reads_are_given_up_when_the_store_goes_away_and_refused_while_it_is(store: Store) -> None:
    watch = StoreWatch(cast("Database", store))
    assert await watch.reading(answer(7)) == 7
    store.answers.clear()
    under_way = asyncio.create_task(watch.reading(store.find_one({})))
    await asyncio.sleep(0)
    assert not await watch.look()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await under_way
    with pytest.raises(StoreUnavailable, match="is away"):
        await watch.reading(answer(7))
    assert not await watch.look(), "a second look finds no read to give up"
    store.answers.set()
    assert await watch.look()
    assert await watch.reading(answer(7)) == 7


async def test_a_reader_that_gives_up_by_itself_is_cancelled_and_not_refused(store: Store) -> None:
    watch = StoreWatch(cast("Database", store))
    store.answers.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await watch.reading(store.find_one({}))
