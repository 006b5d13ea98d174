"""Batches form while a forward pass runs. The fake encoder says when one begins, and ends it when told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from consumers.inference.batcher import Batcher, InputFailed
from consumers.inference.ports import Forwarded, Input, ModelIdentity
from consumers.runtime.verdicts import RetryLater

PATIENCE_S = 10
POISON = 666


class SteppedEncoder:
    """A vector is `[first token, length]`. Each forward pass waits for a `step`."""

    identity = ModelIdentity("fake", "", "float32", "cpu")
    padded = False

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.began: asyncio.Queue[list[list[int]]] = asyncio.Queue()
        self._steps = threading.Semaphore(0)
        self._loop = asyncio.get_running_loop()

    def forward(self, batch: Sequence[Input]) -> Forwarded:
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
async def encoder() -> SteppedEncoder:
    return SteppedEncoder(fits=1_000)


@pytest.fixture
async def batcher(encoder: SteppedEncoder) -> AsyncIterator[Batcher]:
    with ThreadPoolExecutor(1) as executor:
        made = Batcher(encoder, executor, 10, kind="test.batcher")
        yield made
        encoder.step(100)
        await made.close()


def ask(batcher: Batcher, *inputs: list[int]) -> "asyncio.Task[list[list[float]]]":
    async def embed() -> list[list[float]]:
        done = await batcher.compute([Input(ids) for ids in inputs])
        found: list[list[float]] = [each.tolist() for each in done.vectors]
        return found

    return asyncio.create_task(embed())


async def test_an_idle_batcher_starts_at_once(encoder: SteppedEncoder, batcher: Batcher) -> None:
    job = ask(batcher, [7, 7])
    assert await encoder.next_batch() == [[7, 7]]
    encoder.step()
    assert await job == [[7, 2]]


async def test_what_queues_while_one_runs_is_the_next_batch(encoder: SteppedEncoder, batcher: Batcher) -> None:
    first = ask(batcher, [1])
    await encoder.next_batch()
    others = [ask(batcher, [2]), ask(batcher, [3, 3]), ask(batcher, [4])]
    encoder.step(2)
    assert await encoder.next_batch() == [[2], [3, 3], [4]]
    assert await asyncio.gather(first, *others) == [[[1, 1]], [[2, 1]], [[3, 2]], [[4, 1]]]
    assert encoder.began.empty()


async def test_a_large_job_is_split_and_mixed_and_stays_in_order(encoder: SteppedEncoder, batcher: Batcher) -> None:
    large = ask(batcher, *([n] * 4 for n in range(1, 6)))
    small = ask(batcher, [9, 9])
    encoder.step(10)
    assert await large == [[n, 4] for n in range(1, 6)]
    assert await small == [[9, 2]]
    assert [len(await encoder.next_batch()) for _ in range(3)] == [2, 2, 2]


async def test_with_padding_the_oldest_is_never_overtaken_twice(encoder: SteppedEncoder, batcher: Batcher) -> None:
    encoder.padded = True
    running = ask(batcher, [1])
    await encoder.next_batch()
    jobs = [ask(batcher, [2]), ask(batcher, [3] * 9), ask(batcher, [4]), ask(batcher, [5] * 2)]
    encoder.step(10)
    await asyncio.gather(running, *jobs)
    assert await encoder.next_batch() == [[2], [4], [5, 5]]
    assert await encoder.next_batch() == [[3] * 9]


async def test_poison_fails_its_own_job_only(encoder: SteppedEncoder, batcher: Batcher) -> None:
    jobs = [ask(batcher, [1]), ask(batcher, [2], [POISON]), ask(batcher, [3])]
    encoder.step(100)
    good, bad, also_good = await asyncio.gather(*jobs, return_exceptions=True)
    assert (good, also_good) == ([[1, 1]], [[3, 1]])
    assert isinstance(bad, InputFailed)
    assert bad.index == 1
    assert isinstance(bad.__cause__, ValueError)


async def test_the_rest_of_a_failed_job_is_not_run(encoder: SteppedEncoder, batcher: Batcher) -> None:
    bad = ask(batcher, [POISON] * 10, [2] * 10)
    encoder.step(100)
    with pytest.raises(InputFailed):
        await bad
    assert await ask(batcher, [3]) == [[3, 1]]
    assert [await encoder.next_batch() for _ in range(2)] == [[[POISON] * 10], [[3]]]


async def test_out_of_memory_halves_the_batch_and_the_budget(encoder: SteppedEncoder, batcher: Batcher) -> None:
    encoder.fits = 5
    encoder.step(100)
    assert await ask(batcher, *([[1, 1]] * 5)) == [[1, 2]] * 5
    while not encoder.began.empty():
        encoder.began.get_nowait()
    assert await ask(batcher, *([[2, 2]] * 4)) == [[2, 2]] * 4
    assert await encoder.next_batch() == [[2, 2]] * 2


async def test_cancelling_drops_what_does_not_run_yet(encoder: SteppedEncoder, batcher: Batcher) -> None:
    running = ask(batcher, [1])
    await encoder.next_batch()
    dropped, kept = ask(batcher, [2]), ask(batcher, [3])
    await first_steps()
    dropped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    encoder.step(2)
    assert await encoder.next_batch() == [[3]]
    assert await running == [[1, 1]]
    assert await kept == [[3, 1]]


async def first_steps() -> None:
    """Tasks that were created before have run up to their first wait: the event loop takes them in order."""
    await asyncio.sleep(0)


async def test_cancelling_a_running_job_leaves_the_batcher_sound(encoder: SteppedEncoder, batcher: Batcher) -> None:
    running = ask(batcher, [1])
    await encoder.next_batch()
    running.cancel()
    encoder.step(2)
    assert await ask(batcher, [2]) == [[2, 1]]


async def test_closing_finishes_what_runs_and_refuses_the_rest(encoder: SteppedEncoder, batcher: Batcher) -> None:
    running = ask(batcher, [1])
    await encoder.next_batch()
    queued = ask(batcher, [2])
    await first_steps()
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(RetryLater):
        await queued
    with pytest.raises(RetryLater):
        await batcher.compute([Input([3])])
    encoder.step()
    await closing
    assert await running == [[1, 1]]


async def test_an_encoder_that_answers_nonsense_does_not_hang_its_callers(
    encoder: SteppedEncoder, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "forward", lambda _batch: Forwarded([np.zeros(2, np.float32)] * 7, 1))
    with pytest.raises(InputFailed):
        await ask(batcher, [1])
