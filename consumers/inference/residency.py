"""Which models are in memory: each is loaded once for all who wait, and the one that is cheapest to do without goes
first.

What it costs to be without a model is the time to load it again, as often as it is asked for. So of the idle ones
that goes which gives least for its bytes: seconds to load, times uses that fade, by bytes (after
GreedyDual-Size-Frequency, Cherkasova 1998, whose inflating clock the fading replaces). A large model that is asked
for now and then does not push out small ones that are asked for always, as it would where the least recently used
goes.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from consumers.encoders.refusals import unsupported
from telemetry.metrics import MODEL_LOAD_SECONDS, MODEL_RESIDENT_BYTES

_log = structlog.get_logger(__name__)

_HALF_LIFE_S = 600.0  # of a use: what was asked for an hour ago says little of the next minutes
_MOST_REMEMBERED = 1_000  # models whose uses are known beyond their eviction


class Residents(Protocol):
    @property
    def nbytes(self) -> int: ...

    async def close(self) -> None: ...


K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=Residents)


@dataclass(frozen=True)
class Plan(Generic[M]):
    """A model that was found and can be loaded."""

    estimated_bytes: int
    load: Callable[[], Awaitable[M]]


@dataclass(eq=False)
class Uses:
    """Counted, and fading."""

    total: int = 0
    count: float = 0.0
    at: float = 0.0

    def add(self, now: float) -> None:
        self.total += 1
        self.count, self.at = self.faded(now) + 1.0, now

    def faded(self, now: float) -> float:
        return self.count * math.exp2((self.at - now) / _HALF_LIFE_S)


@dataclass(eq=False)
class Entry(Generic[M]):
    model: asyncio.Task[M]
    uses: Uses
    nbytes: int = 0
    """Reserved while it loads, measured afterwards."""
    load_s: float = 0.0
    pins: int = 0

    @property
    def loaded(self) -> bool:
        return self.model.done() and not self.model.cancelled() and self.model.exception() is None

    def worth(self, now: float) -> float:
        return self.load_s * self.uses.faded(now) / max(1, self.nbytes)


class ModelCache(Generic[K, M]):
    """Holds models within a budget of bytes, by what was asked for, whose text names them in metrics. What is in use
    is never evicted; a model that needs room waits for it.

    One caller must not hold a model while it asks for another: two such callers could wait for each other.
    """

    def __init__(
        self,
        find: Callable[[K], Awaitable[Plan[M]]],
        budget_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._budget, self._clock = find, budget_bytes, clock
        self._entries: dict[K, Entry[M]] = {}
        self._uses: OrderedDict[K, Uses] = OrderedDict()  # least recently used first
        self._turn = asyncio.Lock()  # held while a model waits for room, so that a steady load cannot starve it
        self._released = asyncio.Event()  # something changed for whoever waits for room

    @asynccontextmanager
    async def use(self, wanted: K) -> AsyncIterator[M]:
        """The model `wanted`, loaded when it is not there, and not evicted until the block ends.

        Raises what finding or loading it raised; the next caller tries again.
        """
        entry = await self._pin(wanted)
        try:
            yield await asyncio.shield(entry.model)  # one waiter's cancellation must not end the others' load
        finally:
            entry.pins -= 1
            self._released.set()

    @property
    def resident(self) -> Mapping[K, Entry[M]]:
        """Loaded and loading models."""
        return self._entries

    async def close(self) -> None:
        """Wait for running loads, then close every model."""
        entries = list(self._entries.items())
        await asyncio.gather(*(entry.model for _, entry in entries), return_exceptions=True)
        for wanted, entry in entries:
            await self._evict(wanted, entry)

    async def _pin(self, wanted: K) -> Entry[M]:
        async with self._turn:
            uses = self._used(wanted)
            entry = self._entries.get(wanted)
            if entry is None:
                entry = self._entries[wanted] = self._start(wanted, uses)
            entry.pins += 1
            return entry

    def _used(self, wanted: K) -> Uses:
        uses = self._uses.setdefault(wanted, Uses())
        self._uses.move_to_end(wanted)
        if len(self._uses) > _MOST_REMEMBERED:
            self._uses.popitem(last=False)
        uses.add(self._clock())
        return uses

    def _start(self, wanted: K, uses: Uses) -> Entry[M]:
        def settle(task: asyncio.Task[M]) -> None:
            if task.cancelled() or task.exception() is not None:
                self._entries.pop(wanted, None)  # so that the next caller tries again
            self._released.set()

        entry = Entry(asyncio.create_task(self._load(wanted)), uses)
        entry.model.add_done_callback(settle)
        return entry

    async def _load(self, wanted: K) -> M:
        plan = await self._find(wanted)
        if plan.estimated_bytes > self._budget:
            raise unsupported(
                str(wanted),
                f"takes {plan.estimated_bytes:,} bytes of at most {self._budget:,}; "
                "the operator can raise MILLRACE_INFERENCE_MEMORY_BYTES",
            )
        entry = self._entries[wanted]
        async with self._turn:
            await self._make_room(plan.estimated_bytes)
            entry.nbytes = plan.estimated_bytes
        started = self._clock()
        model = await plan.load()
        entry.nbytes, entry.load_s = model.nbytes, self._clock() - started
        MODEL_LOAD_SECONDS.observe(entry.load_s)
        MODEL_RESIDENT_BYTES.labels(model=str(wanted)).set(model.nbytes)
        _log.info("model.loaded", model=str(wanted), bytes=model.nbytes)
        await self._evict_idle(0)
        return model

    async def _make_room(self, needed: int) -> None:
        while not await self._evict_idle(needed):
            self._released.clear()
            await self._released.wait()

    async def _evict_idle(self, needed: int) -> bool:
        """Evict idle models, the least worth first, until `needed` bytes are free. False when the rest is in use."""
        while sum(entry.nbytes for entry in self._entries.values()) + needed > self._budget:
            idle = [wanted for wanted, entry in self._entries.items() if entry.model.done() and not entry.pins]
            if not idle:
                return False
            now = self._clock()
            least = min(idle, key=lambda wanted: self._entries[wanted].worth(now))
            await self._evict(least, self._entries[least])
        return True

    async def _evict(self, wanted: K, entry: Entry[M]) -> None:
        self._entries.pop(wanted, None)
        if not entry.loaded:
            return
        MODEL_RESIDENT_BYTES.remove(str(wanted))
        _log.info("model.evicted", model=str(wanted), bytes=entry.nbytes)
        await entry.model.result().close()
