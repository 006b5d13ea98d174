"""Dynamic batching: what queues up while a forward pass runs forms the next one. There is no timer."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import islice

from consumers.inference.batching import Isolated, Outcome, choose, forward_isolating
from consumers.inference.ports import Encoder, Input, Vectors
from consumers.runtime.verdicts import RetryLater
from telemetry.metrics import BATCH_SIZE, PADDING_WASTE

_WINDOW = 2048  # oldest inputs looked at for one batch, so that planning stays far below a forward's time


class InputFailed(Exception):
    """One input of a request cannot be computed; `__cause__` says why."""

    def __init__(self, index: int) -> None:
        super().__init__(f"/inputs/{index} failed")
        self.index = index


@dataclass(frozen=True)
class Computed:
    vectors: list[Vectors]
    """One for each input, in their order."""
    queue_s: float
    run_s: float


@dataclass(eq=False)
class _Request:
    rows: list[Vectors | None]
    missing: int
    submitted: float
    done: asyncio.Future[Computed]
    run_s: float = 0.0


@dataclass(frozen=True, eq=False)
class _Waiting:
    request: _Request = field(repr=False)
    index: int
    input: Input


class Batcher:
    """Mixes the inputs of many requests into forward passes of one model, each within a budget of tokens.

    `executor` must have a single thread: it serialises the device and keeps the event loop live.
    """

    def __init__(
        self,
        encoder: Encoder,
        executor: Executor,
        max_tokens: int,
        *,
        kind: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._encoder, self._executor, self._max_tokens = encoder, executor, max_tokens
        self._clock = clock
        self._batch_size = BATCH_SIZE.labels(kind=kind)
        self._padding_waste = PADDING_WASTE.labels(kind=kind)
        self._waiting: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def compute(self, inputs: Sequence[Input]) -> Computed:
        """Wait for the vectors of all `inputs`, of which there must be one or more.

        Cancelling drops those that do not run yet. Raises InputFailed for the first one that fails, RetryLater when
        the batcher closes.
        """
        if self._closed:
            raise RetryLater("this worker is stopping")
        done: asyncio.Future[Computed] = asyncio.get_running_loop().create_future()
        request = _Request([None] * len(inputs), len(inputs), self._clock(), done)
        self._waiting.extend(_Waiting(request, index, each) for index, each in enumerate(inputs))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        try:
            return await done
        finally:
            if request.missing:
                self._drop(request)

    async def close(self) -> None:
        """Refuse new requests, tell the waiting ones to come back, finish the running forward pass."""
        self._closed = True
        for waiting in self._waiting:
            _fail(waiting.request, RetryLater("this worker is stopping"))
        self._waiting.clear()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                try:
                    await self._forward(batch)
                except Exception as error:  # noqa: BLE001  a waiter that hears nothing would wait for ever
                    self._settle(batch, [error] * len(batch), 0.0)
        finally:
            self._running = None

    def _next_batch(self) -> list[_Waiting]:
        head = list(islice(self._waiting, _WINDOW))
        chosen = choose([len(waiting.input) for waiting in head], self._max_tokens, padded=self._encoder.padded)
        for _ in range(chosen[-1] + 1):
            self._waiting.popleft()
        taken = set(chosen)
        overtaken = [position for position in range(chosen[-1]) if position not in taken]
        self._waiting.extendleft(head[position] for position in reversed(overtaken))
        return [head[position] for position in chosen]

    async def _forward(self, batch: list[_Waiting]) -> None:
        inputs = [item.input for item in batch]
        done, run_s = await asyncio.get_running_loop().run_in_executor(self._executor, self._compute, inputs)
        self._settle(batch, done.outcomes, run_s)
        self._learn(sum(map(len, inputs)), done)

    def _compute(self, inputs: list[Input]) -> tuple[Isolated, float]:
        """Timed in the thread: another model's batch may have to end first, and that is waiting."""
        started = self._clock()
        return forward_isolating(self._encoder.forward, inputs), self._clock() - started

    def _settle(self, batch: list[_Waiting], outcomes: list[Outcome], run_s: float) -> None:
        for request in {item.request for item in batch}:
            request.run_s += run_s
        for item, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                _fail(item.request, _because(InputFailed(item.index), outcome))
                self._drop(item.request)
            else:
                self._keep(item, outcome)

    def _keep(self, item: _Waiting, vector: Vectors) -> None:
        request = item.request
        request.rows[item.index] = vector
        request.missing -= 1
        if request.missing == 0 and not request.done.done():
            queue_s = max(0.0, self._clock() - request.submitted - request.run_s)
            request.done.set_result(Computed([r for r in request.rows if r is not None], queue_s, request.run_s))

    def _learn(self, tokens: int, done: Isolated) -> None:
        self._batch_size.observe(len(done.outcomes))
        if done.computed:
            self._padding_waste.observe(max(0.0, 1 - tokens / done.computed))
        if done.out_of_memory:
            self._max_tokens = max(1, min(self._max_tokens, tokens) // 2)

    def _drop(self, request: _Request) -> None:
        self._waiting = deque(waiting for waiting in self._waiting if waiting.request is not request)


def _fail(request: _Request, error: Exception) -> None:
    if not request.done.done():
        request.done.set_exception(error)


def _because(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
