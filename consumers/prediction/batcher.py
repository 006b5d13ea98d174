"""Requests for one model: what queues up while it predicts is answered together. There is no timer."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from consumers.prediction.answers import Answer, Asked
from telemetry.metrics import BATCH_SIZE

_MOST_ROWS = 4_096
"""In one prediction; a request has a quarter of them at most."""


@dataclass(frozen=True)
class Answered:
    answer: Answer
    queue_s: float
    run_s: float


@dataclass(frozen=True, eq=False)
class _Waiting:
    asked: Asked
    since: float
    done: asyncio.Future[Answered]


class Batcher:
    """`compute` gives an answer or an error per request, and runs in `executor`, which keeps the event loop live."""

    def __init__(
        self,
        compute: Callable[[Sequence[Asked]], list[Answer | Exception]],
        executor: Executor,
        *,
        kind: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._compute, self._executor, self._clock = compute, executor, clock
        self._batch_size = BATCH_SIZE.labels(kind=kind)
        self._waiting: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answered:
        """Raises what the model raised for this request alone."""
        waiting = _Waiting(asked, self._clock(), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiting.done

    async def _run(self) -> None:
        try:
            while batch := self._next_batch():
                started = self._clock()
                outcomes = await self._outcomes([waiting.asked for waiting in batch])
                run_s = self._clock() - started
                for waiting, outcome in zip(batch, outcomes, strict=True):
                    _settle(waiting, outcome, started - waiting.since, run_s)
        finally:
            self._running = None

    def _next_batch(self) -> list[_Waiting]:
        """The oldest always goes; who does not wait any more does not."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting and (not batch or rows + len(self._waiting[0].asked.rows) <= _MOST_ROWS):
            waiting = self._waiting.popleft()
            if not waiting.done.done():
                batch.append(waiting)
                rows += len(waiting.asked.rows)
        if batch:
            self._batch_size.observe(rows)
        return batch

    async def _outcomes(self, batch: list[Asked]) -> list[Answer | Exception]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._compute, batch)
        except Exception as error:  # noqa: BLE001  a waiter that hears nothing would wait for ever
            return [error] * len(batch)


def _settle(waiting: _Waiting, outcome: Answer | Exception, queue_s: float, run_s: float) -> None:
    if waiting.done.done():
        return
    if isinstance(outcome, Exception):
        waiting.done.set_exception(outcome)
    else:
        waiting.done.set_result(Answered(outcome, queue_s, run_s))
