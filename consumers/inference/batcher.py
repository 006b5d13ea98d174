"""Dynamic batching: what queues up while a forward pass runs forms the next one. There is no timer.

A full batch is sent ahead while another one runs, so that the device need not wait for it; one that is not full still
has time to grow.

When the device's process dies, one of the inputs that it had may be why. They go again, in parts, nothing beside
them, until the guilty one stands alone; if it was none of them, they are answered all the same.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from consumers.devices import DeviceLost
from consumers.inference.batching import Isolated, Outcome, checked, choose
from consumers.inference.pace import Pace
from consumers.inference.ports import Input, Vectors
from consumers.runtime.verdicts import RetryLater, Verdict
from telemetry.metrics import BATCH_SIZE, PADDING_WASTE

_WINDOW = 2048  # oldest inputs looked at for one batch, so that planning stays far below a forward's time
_AHEAD = 1  # batches with the device beside the one that runs
_PARTS = 8  # of 64 suspects: three deaths until one stands alone, where halving takes six
_STRIKES = 2  # so many deaths of the device with one input alone are that input's doing
_SHORTEST_LIMIT_S, _TIMES_EXPECTED = 60.0, 20.0  # after which a forward pass is stuck

Forward = Callable[[Sequence[Input], float], Awaitable[Isolated]]
"""Of a batch, within so many seconds of its own. Raises DeviceLost."""


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


@dataclass(eq=False)
class _Waiting:
    request: _Request = field(repr=False)
    index: int
    input: Input
    strikes: int = 0
    """How often the device died while it computed nothing else."""


class Batcher:
    """Mixes the inputs of many requests into forward passes of one model, each within a budget of tokens."""

    def __init__(
        self,
        forward: Forward,
        max_tokens: int,
        *,
        padded: bool,
        kind: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._compute, self._max_tokens, self._padded, self._clock = forward, max_tokens, padded, clock
        self._batch_size = BATCH_SIZE.labels(kind=kind)
        self._padding_waste = PADDING_WASTE.labels(kind=kind)
        self.pace = Pace()
        self._waiting: deque[_Waiting] = deque()
        self._suspects: deque[list[_Waiting]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._woken = self._closed = False

    @property
    def running(self) -> int:
        """Batches with the device, waiting ones included."""
        return len(self._running)

    async def compute(self, inputs: Sequence[Input]) -> Computed:
        """Wait for the vectors of all `inputs`, of which there must be one or more.

        Cancelling drops those that do not run yet. Raises InputFailed for the first one that fails, RetryLater when
        the batcher closes, and the verdict with which the device refuses.
        """
        if self._closed:
            raise RetryLater("this worker is stopping")
        done: asyncio.Future[Computed] = asyncio.get_running_loop().create_future()
        request = _Request([None] * len(inputs), len(inputs), self._clock(), done)
        self._waiting.extend(_Waiting(request, index, each) for index, each in enumerate(inputs))
        self._wake()
        try:
            return await done
        finally:
            if request.missing:
                self._drop(request)

    async def close(self) -> None:
        """Refuse new requests, tell the waiting ones to come back, finish what is with the device."""
        self._closed = True
        for waiting in (*self._waiting, *(each for part in self._suspects for each in part)):
            _fail(waiting.request, RetryLater("this worker is stopping"))
        self._waiting.clear()
        self._suspects.clear()
        await asyncio.gather(*self._running)

    def _wake(self) -> None:
        """When everything that arrives at this moment has."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        self._woken = False
        while batch := self._next_batch():
            running = asyncio.create_task(self._forward(batch))
            self._running.add(running)
            running.add_done_callback(self._ended)

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._advance()

    def _next_batch(self) -> list[_Waiting]:
        """Empty while there is nothing to do, or nothing that should not wait."""
        if self._suspects:
            return [] if self._running else self._suspects.popleft()
        if not self._waiting or len(self._running) > _AHEAD:
            return []
        head = list(islice(self._waiting, _WINDOW))
        lengths = [len(waiting.input) for waiting in head]
        budget = self.pace.enough_tokens(self._max_tokens)
        if self._running and sum(lengths) < budget:
            return []
        chosen = choose(lengths, budget, padded=self._padded)
        for _ in range(chosen[-1] + 1):
            self._waiting.popleft()
        taken = set(chosen)
        overtaken = [position for position in range(chosen[-1]) if position not in taken]
        self._waiting.extendleft(head[position] for position in reversed(overtaken))
        return [head[position] for position in chosen]

    async def _forward(self, batch: list[_Waiting]) -> None:
        tokens = sum(len(item.input) for item in batch)
        limit_s = max(_SHORTEST_LIMIT_S, _TIMES_EXPECTED * self.pace.expected_s(tokens))
        try:
            done = await self._compute([item.input for item in batch], limit_s)
            self._settle(batch, done.outcomes, done.run_s)
            self._learn(tokens, done)
        except DeviceLost as lost:
            self._suspect(batch, lost)
        except Exception as error:  # noqa: BLE001  a waiter that hears nothing would wait for ever
            self._settle(batch, [error] * len(batch), 0.0)

    def _suspect(self, batch: list[_Waiting], lost: DeviceLost) -> None:
        if self._closed:
            return self._settle(batch, [RetryLater("this worker is stopping")] * len(batch), 0.0)
        if len(batch) == 1:
            batch[0].strikes += 1
            if batch[0].strikes >= _STRIKES:
                return self._settle(batch, [lost], 0.0)
        size = -(-len(batch) // _PARTS)
        self._suspects.extend(batch[start : start + size] for start in range(0, len(batch), size))
        return None

    def _settle(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome], run_s: float) -> None:
        for request in {item.request for item in batch}:
            request.run_s += run_s
        for item, outcome in zip(batch, map(checked, outcomes), strict=True):
            if isinstance(outcome, Exception):
                failed = outcome if isinstance(outcome, Verdict) else _because(InputFailed(item.index), outcome)
                _fail(item.request, failed)
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
            self.pace.learn(done.computed, done.run_s)
        if done.out_of_memory:
            self._max_tokens = max(1, min(self._max_tokens, tokens) // 2)

    def _drop(self, request: _Request) -> None:
        self._waiting = deque(waiting for waiting in self._waiting if waiting.request is not request)
        parts = ([each for each in part if each.request is not request] for part in self._suspects)
        self._suspects = deque(part for part in parts if part)


def _fail(request: _Request, error: Exception) -> None:
    if not request.done.done():
        request.done.set_exception(error)


def _because(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
