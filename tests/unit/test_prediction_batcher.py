"""Requests that queue up are answered together, and each hears its own answer."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from consumers.prediction.answers import Answer, Asked
from consumers.prediction.batcher import Answered, Batcher
from tests.support.waiting import eventually


class Model:
    """Says of each row its number, once the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[int] = []
        self.failing = False

    def compute(self, batch: Sequence[Asked]) -> list[Answer | Exception]:
        self.batches.append(len(batch))
        assert self.gate.wait(10)
        if self.failing:
            raise MemoryError
        return [
            ValueError("bad") if asked.rows[0]["n"] == -1 else Answer([row["n"] for row in asked.rows], None, None)
            for asked in batch
        ]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


def asked(*numbers: int) -> Asked:
    return Asked([{"n": number} for number in numbers], explain=False)


async def behind_a_first(model: Model, batcher: Batcher, *more: Asked) -> list[Answered | BaseException]:
    """All of them, submitted while a first request runs."""
    first = asyncio.create_task(batcher.ask(asked(0)))
    await eventually(lambda: _started(model))
    waiting = [asyncio.create_task(batcher.ask(each)) for each in more]
    await asyncio.sleep(0)
    model.gate.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


async def _started(model: Model) -> bool:
    return bool(model.batches)


async def test_what_waits_meanwhile_goes_together(executor: ThreadPoolExecutor) -> None:
    model = Model()
    batcher = Batcher(model.compute, executor, kind="test")
    found = await behind_a_first(model, batcher, asked(1), asked(2, 3), asked(-1))
    assert model.batches == [1, 3]
    assert [each.answer.predictions for each in found[:2] if isinstance(each, Answered)] == [[1], [2, 3]]
    assert isinstance(found[2], ValueError)


async def test_a_batch_has_its_bounds_and_the_oldest_always_goes(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.prediction.batcher._MOST_ROWS", 2)
    model = Model()
    batcher = Batcher(model.compute, executor, kind="test")
    found = await behind_a_first(model, batcher, asked(1, 2, 3), asked(4), asked(5), asked(6))
    assert model.batches == [1, 1, 2, 1]
    assert all(isinstance(each, Answered) for each in found)


async def test_who_has_gone_is_left_out(executor: ThreadPoolExecutor) -> None:
    model = Model()
    batcher = Batcher(model.compute, executor, kind="test")
    first = asyncio.create_task(batcher.ask(asked(0)))
    await eventually(lambda: _started(model))
    gone, stays = (asyncio.create_task(batcher.ask(asked(number))) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    model.gate.set()
    assert (await first).answer.predictions == [0]
    assert (await stays).answer.predictions == [2]
    assert model.batches == [1, 1]


async def test_nobody_waits_for_ever(executor: ThreadPoolExecutor) -> None:
    model = Model()
    model.gate.set()
    model.failing = True
    batcher = Batcher(model.compute, executor, kind="test")
    with pytest.raises(MemoryError):
        await batcher.ask(asked(1))
    model.failing = False
    assert (await batcher.ask(asked(1))).answer.predictions == [1]
