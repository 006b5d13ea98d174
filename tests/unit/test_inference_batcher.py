"""Batches form while a forward pass runs. The fake device says when one begins, and ends it when told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from consumers.devices import DeviceLost
from consumers.inference.batcher import Batcher, InputFailed
from consumers.inference.batching import Isolated, forward_isolating
from consumers.inference.ports import Forwarded, Input
from consumers.runtime.verdicts import HaltConsumer, RetryLater, Verdict

PATIENCE_S = 10
POISON, KILLER = 666, 999


class SteppedDevice:
    """A vector is `[first token, length]`. Each forward pass waits for a `step`. A KILLER among the tokens costs the
    device its life, as being `killed` from outside does."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.fits = 1_000
        self.began: asyncio.Queue[list[list[int]]] = asyncio.Queue()
        self.killed = False
        self._steps = threading.Semaphore(0)
        self._loop, self._executor = asyncio.get_running_loop(), executor

    async def forward(self, batch: Sequence[Input], _limit_s: float) -> Isolated:
        done = await self._loop.run_in_executor(self._executor, forward_isolating, self._compute, batch)
        if self.killed or any(KILLER in one.ids for one in batch):
            self.killed = False
            raise DeviceLost("killed")
        return done

    def _compute(self, batch: Sequence[Input]) -> Forwarded:
        self._loop.call_soon_threadsafe(self.began.put_nowait, [list(one.ids) for one in batch])
        assert self._steps.acquire(timeout=PATIENCE_S)
        if sum(map(len, batch)) > self.fits:
            raise MemoryError("the device is full")
        if any(POISON in one.ids for one in batch):
            raise ValueError("poison")
        return Forwarded([np.array([one.ids[0], len(one)], np.float32) for one in batch], sum(map(len, batch)))

    def step(self, times: int = 1) -> None:
        self._steps.release(times)

    async def next_batch(self) -> list[list[int]]:
        return await asyncio.wait_for(self.began.get(), PATIENCE_S)


@pytest.fixture
async def device() -> AsyncIterator[SteppedDevice]:
    with ThreadPoolExecutor(1) as executor:
        yield SteppedDevice(executor)


@pytest.fixture
async def batcher(device: SteppedDevice, request: pytest.FixtureRequest) -> AsyncIterator[Batcher]:
    made = Batcher(device.forward, 10, padded="with_padding" in request.node.name, kind="test.batcher")
    yield made
    device.step(100)
    await made.close()


def ask(batcher: Batcher, *inputs: list[int]) -> "asyncio.Task[list[list[float]]]":
    async def embed() -> list[list[float]]:
        done = await batcher.compute([Input(ids) for ids in inputs])
        found: list[list[float]] = [each.tolist() for each in done.vectors]
        return found

    return asyncio.create_task(embed())


async def test_an_idle_batcher_starts_at_once(device: SteppedDevice, batcher: Batcher) -> None:
    job = ask(batcher, [7, 7])
    assert await device.next_batch() == [[7, 7]]
    device.step()
    assert await job == [[7, 2]]


async def test_what_queues_while_one_runs_is_the_next_batch(device: SteppedDevice, batcher: Batcher) -> None:
    first = ask(batcher, [1])
    await device.next_batch()
    others = [ask(batcher, [2]), ask(batcher, [3, 3]), ask(batcher, [4])]
    device.step(2)
    assert await device.next_batch() == [[2], [3, 3], [4]]
    assert await asyncio.gather(first, *others) == [[[1, 1]], [[2, 1]], [[3, 2]], [[4, 1]]]
    assert device.began.empty()


async def test_a_large_job_is_split_and_mixed_and_stays_in_order(device: SteppedDevice, batcher: Batcher) -> None:
    large = ask(batcher, *([n] * 4 for n in range(1, 6)))
    small = ask(batcher, [9, 9])
    device.step(10)
    assert await large == [[n, 4] for n in range(1, 6)]
    assert await small == [[9, 2]]
    assert [len(await device.next_batch()) for _ in range(3)] == [2, 2, 2]


async def test_with_padding_the_oldest_is_never_overtaken_twice(device: SteppedDevice, batcher: Batcher) -> None:
    running = ask(batcher, [1])
    await device.next_batch()
    jobs = [ask(batcher, [2]), ask(batcher, [3] * 9), ask(batcher, [4]), ask(batcher, [5] * 2)]
    device.step(10)
    await asyncio.gather(running, *jobs)
    assert await device.next_batch() == [[2], [4], [5, 5]]
    assert await device.next_batch() == [[3] * 9]


async def test_poison_fails_its_own_job_only(device: SteppedDevice, batcher: Batcher) -> None:
    jobs = [ask(batcher, [1]), ask(batcher, [2], [POISON]), ask(batcher, [3])]
    device.step(100)
    good, bad, also_good = await asyncio.gather(*jobs, return_exceptions=True)
    assert (good, also_good) == ([[1, 1]], [[3, 1]])
    assert isinstance(bad, InputFailed)
    assert bad.index == 1
    assert isinstance(bad.__cause__, ValueError)


async def test_the_rest_of_a_failed_job_is_not_run(device: SteppedDevice, batcher: Batcher) -> None:
    bad = ask(batcher, [POISON] * 10, [2] * 10, [4] * 10)
    device.step(100)
    with pytest.raises(InputFailed):
        await bad
    assert await ask(batcher, [3]) == [[3, 1]]
    assert [await device.next_batch() for _ in range(3)] == [[[POISON] * 10], [[2] * 10], [[3]]]


async def test_out_of_memory_halves_the_batch_and_the_budget(device: SteppedDevice, batcher: Batcher) -> None:
    device.fits = 5
    device.step(100)
    assert await ask(batcher, *([[1, 1]] * 5)) == [[1, 2]] * 5
    while not device.began.empty():
        device.began.get_nowait()
    assert await ask(batcher, *([[2, 2]] * 4)) == [[2, 2]] * 4
    assert await device.next_batch() == [[2, 2]] * 2


async def test_cancelling_drops_what_does_not_run_yet(device: SteppedDevice, batcher: Batcher) -> None:
    running = ask(batcher, [1])
    await device.next_batch()
    dropped, kept = ask(batcher, [2]), ask(batcher, [3])
    await first_steps()
    dropped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    device.step(2)
    assert await device.next_batch() == [[3]]
    assert await running == [[1, 1]]
    assert await kept == [[3, 1]]


async def first_steps() -> None:
    """Tasks that were created before have run up to their first wait, and what they asked for has been looked at:
    the event loop takes things in order."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_cancelling_a_running_job_leaves_the_batcher_sound(device: SteppedDevice, batcher: Batcher) -> None:
    running = ask(batcher, [1])
    await device.next_batch()
    running.cancel()
    device.step(2)
    assert await ask(batcher, [2]) == [[2, 1]]


async def test_closing_finishes_what_runs_and_refuses_the_rest(device: SteppedDevice, batcher: Batcher) -> None:
    running = ask(batcher, [1])
    await device.next_batch()
    queued = ask(batcher, [2])
    await first_steps()
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(RetryLater):
        await queued
    with pytest.raises(RetryLater):
        await batcher.compute([Input([3])])
    device.step()
    await closing
    assert await running == [[1, 1]]


async def test_a_full_batch_is_sent_ahead_and_one_that_is_not_may_grow(
    device: SteppedDevice, batcher: Batcher
) -> None:
    running = ask(batcher, [1])
    await device.next_batch()
    small = ask(batcher, [2] * 9)
    await first_steps()
    assert len(batcher._running) == 1
    filling = ask(batcher, [3] * 9)
    await first_steps()
    assert [len(batcher._running), len(batcher._waiting)] == [2, 1]
    device.step(3)
    assert [await running, await small, await filling] == [[[1, 1]], [[2, 9]], [[3, 9]]]


async def test_when_the_device_dies_everybody_is_answered_all_the_same(
    device: SteppedDevice, batcher: Batcher
) -> None:
    jobs = [ask(batcher, [number], [number, number]) for number in range(1, 10)]
    await device.next_batch()
    device.killed = True
    device.step(100)
    assert await asyncio.gather(*jobs) == [[[number, 1], [number, 2]] for number in range(1, 10)]


async def test_an_input_that_kills_the_device_fails_alone(device: SteppedDevice, batcher: Batcher) -> None:
    device.step(100)
    jobs = [ask(batcher, [1]), ask(batcher, [2], [KILLER]), *(ask(batcher, [n]) for n in range(3, 20))]
    good, bad, *others = await asyncio.gather(*jobs, return_exceptions=True)
    assert [good, *others] == [[[1, 1]], *([[n, 1]] for n in range(3, 20))]
    assert isinstance(bad, InputFailed)
    assert bad.index == 1
    assert isinstance(bad.__cause__, DeviceLost)
    deaths = 0
    while not device.began.empty():
        deaths += [KILLER] in device.began.get_nowait()
    assert deaths == 4  # among ten, among two, and twice alone


@pytest.mark.parametrize("refusal", [RetryLater("full"), HaltConsumer("gone")])
async def test_what_the_device_refuses_is_the_jobs_verdict(refusal: Verdict) -> None:
    async def forward(_batch: Sequence[Input], _limit_s: float) -> Isolated:
        raise refusal

    with pytest.raises(type(refusal)):
        await ask(Batcher(forward, 10, padded=False, kind="test.batcher"), [1])
