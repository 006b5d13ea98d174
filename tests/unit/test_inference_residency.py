"""Models in memory: loaded once, kept within the budget, never taken from under a user."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from consumers.inference.residency import ModelCache, Plan, Uses
from consumers.runtime.verdicts import Reject

PATIENCE_S = 10
BUDGET = 100


@dataclass
class FakeModel:
    name: str
    nbytes: int
    closed: bool = False

    async def close(self) -> None:
        self.closed = True


@dataclass
class Shelf:
    """Finds any model; its size is the number behind the dash, as are the seconds that it takes to load. `gate` holds
    loads back."""

    loads: Counter[str] = field(default_factory=Counter)
    failures: list[Exception] = field(default_factory=list)
    overhead: int = 0
    now: float = 0.0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    loading: asyncio.Event = field(default_factory=asyncio.Event)

    async def find(self, name: str) -> Plan[FakeModel]:
        size = int(name.partition("-")[2])

        async def load() -> FakeModel:
            self.loads[name] += 1
            self.loading.set()
            await self.gate.wait()
            self.now += size
            if self.failures:
                raise self.failures.pop()
            return FakeModel(name, size + self.overhead)

        return Plan(size, load)


@pytest.fixture
async def shelf() -> Shelf:
    shelf = Shelf()
    shelf.gate.set()
    return shelf


@pytest.fixture
async def cache(shelf: Shelf) -> ModelCache[str, FakeModel]:
    return ModelCache(shelf.find, BUDGET, lambda: shelf.now)


async def touch(cache: ModelCache[str, FakeModel], name: str) -> FakeModel:
    async with cache.use(name) as model:
        return model


async def test_many_waiters_share_one_load(shelf: Shelf, cache: ModelCache[str, FakeModel]) -> None:
    shelf.gate.clear()
    waiters = [asyncio.create_task(touch(cache, "a-10")) for _ in range(20)]
    shelf.gate.set()
    models = await asyncio.gather(*waiters)
    assert len({id(model) for model in models}) == 1
    assert shelf.loads == {"a-10": 1}


async def test_a_failed_load_fails_its_waiters_and_is_tried_again(
    shelf: Shelf, cache: ModelCache[str, FakeModel]
) -> None:
    shelf.failures.append(OSError("the disk is gone"))
    failed = await asyncio.gather(touch(cache, "a-10"), touch(cache, "a-10"), return_exceptions=True)
    assert [type(error) for error in failed] == [OSError, OSError]
    assert (await touch(cache, "a-10")).name == "a-10"
    assert shelf.loads == {"a-10": 2}


async def test_one_cancelled_waiter_does_not_end_the_load_of_the_others(
    shelf: Shelf, cache: ModelCache[str, FakeModel]
) -> None:
    shelf.gate.clear()
    leaver, stayer = (asyncio.create_task(touch(cache, "a-10")) for _ in range(2))
    await asyncio.wait_for(shelf.loading.wait(), PATIENCE_S)
    leaver.cancel()
    shelf.gate.set()
    assert (await stayer).name == "a-10"
    assert leaver.cancelled()


async def test_the_least_used_makes_room(cache: ModelCache[str, FakeModel]) -> None:
    a, b = await touch(cache, "a-40"), await touch(cache, "b-40")
    await touch(cache, "a-40")
    await touch(cache, "c-40")
    assert (a.closed, b.closed) == (False, True)
    assert list(cache.resident) == ["a-40", "c-40"]


async def test_what_is_soon_loaded_again_makes_room_before_what_is_not(shelf: Shelf) -> None:
    cache = ModelCache(shelf.find, BUDGET, lambda: shelf.now)
    slow, quick = await touch(cache, "slow-40"), await touch(cache, "quick-40")
    cache.resident["quick-40"].load_s = 1.0
    await touch(cache, "c-40")
    assert (slow.closed, quick.closed) == (False, True)


async def test_less_is_loaded_than_if_the_least_recently_used_went(shelf: Shelf) -> None:
    """Eight models of which three fit, asked for as in Zipf's law."""
    cache = ModelCache(shelf.find, BUDGET, lambda: shelf.now)
    asked = random.Random(7).choices([f"{name}-30" for name in "abcdefgh"], [1 / n for n in range(1, 9)], k=400)
    recent: list[str] = []
    loaded = 0
    for name in asked:
        shelf.now += 1
        await touch(cache, name)
        loaded += name not in recent
        recent = [*(each for each in recent if each != name), name][-3:]
    assert shelf.loads.total() < 0.9 * loaded


async def test_uses_fade() -> None:
    uses = Uses()
    for _ in range(8):
        uses.add(0.0)
    assert (uses.faded(0.0), uses.faded(600.0), uses.faded(1200.0)) == (8.0, 4.0, 2.0)


async def test_room_is_counted_in_bytes(cache: ModelCache[str, FakeModel]) -> None:
    for name in ("a-10", "b-20", "c-60", "d-10"):
        await touch(cache, name)
    assert list(cache.resident) == ["a-10", "b-20", "c-60", "d-10"]
    await touch(cache, "e-25")
    assert list(cache.resident) == ["c-60", "d-10", "e-25"]


async def test_what_a_model_takes_beyond_its_files_counts(shelf: Shelf, cache: ModelCache[str, FakeModel]) -> None:
    shelf.overhead = 15
    await touch(cache, "a-40")
    await touch(cache, "b-40")
    assert list(cache.resident) == ["b-40"]


async def test_a_model_in_use_is_not_evicted_and_the_next_waits_for_it(cache: ModelCache[str, FakeModel]) -> None:
    async with cache.use("a-60") as used:
        waiting = asyncio.create_task(touch(cache, "b-60"))
        late = asyncio.create_task(touch(cache, "a-60"))
        done, _ = await asyncio.wait([waiting], timeout=0)
        assert not done
        assert not used.closed
    assert (await asyncio.wait_for(waiting, PATIENCE_S)).name == "b-60"
    assert used.closed
    await asyncio.wait_for(late, PATIENCE_S)


async def test_a_model_in_steady_use_cannot_starve_another(cache: ModelCache[str, FakeModel]) -> None:
    stop = asyncio.Event()

    async def keep_using() -> None:
        while not stop.is_set():
            async with cache.use("a-60"):
                await asyncio.sleep(0)

    users = [asyncio.create_task(keep_using()) for _ in range(3)]
    assert (await asyncio.wait_for(touch(cache, "b-60"), PATIENCE_S)).name == "b-60"
    stop.set()
    await asyncio.wait_for(asyncio.gather(*users), PATIENCE_S)


async def test_a_model_larger_than_the_budget_is_refused(shelf: Shelf, cache: ModelCache[str, FakeModel]) -> None:
    with pytest.raises(Reject, match="MILLRACE_INFERENCE_MEMORY_BYTES") as refused:
        await touch(cache, "a-101")
    assert refused.value.type == "model-unsupported"
    assert not shelf.loads


async def test_closing_closes_every_model(cache: ModelCache[str, FakeModel]) -> None:
    models = [await touch(cache, "a-10"), await touch(cache, "b-10")]
    await cache.close()
    assert all(model.closed for model in models)
    assert list(cache.resident) == []
