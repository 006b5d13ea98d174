"""Which models are in memory: each is loaded once for all who wait, the least recently used idle one goes first."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from consumers.encoders.refusals import unsupported
from telemetry.metrics import MODEL_LOAD_SECONDS, MODEL_RESIDENT_BYTES

_log = structlog.get_logger(__name__)


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
class _Entry(Generic[M]):
    model: asyncio.Task[M]
    nbytes: int = 0
    """Reserved while it loads, measured afterwards."""
    pins: int = 0


class ModelCache(Generic[K, M]):
    """Holds models within a budget of bytes, by what was asked for, whose text names them in metrics. What is in use
    is never evicted; a model that needs room waits for it.

    One caller must not hold a model while it asks for another: two such callers could wait for each other.
    """

    def __init__(self, find: Callable[[K], Awaitable[Plan[M]]], budget_bytes: int) -> None:
        self._find, self._budget = find, budget_bytes
        self._entries: OrderedDict[K, _Entry[M]] = OrderedDict()  # least recently used first
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
    def resident(self) -> list[K]:
        """Loaded and loading models, least recently used first."""
        return list(self._entries)

    async def close(self) -> None:
        """Wait for running loads, then close every model."""
        entries = list(self._entries.items())
        await asyncio.gather(*(entry.model for _, entry in entries), return_exceptions=True)
        for wanted, entry in entries:
            await self._evict(wanted, entry)

    async def _pin(self, wanted: K) -> _Entry[M]:
        async with self._turn:
            entry = self._entries.get(wanted)
            if entry is None:
                entry = self._entries[wanted] = self._start(wanted)
            self._entries.move_to_end(wanted)
            entry.pins += 1
            return entry

    def _start(self, wanted: K) -> _Entry[M]:
        def settle(task: asyncio.Task[M]) -> None:
            if task.cancelled() or task.exception() is not None:
                self._entries.pop(wanted, None)  # so that the next caller tries again
            self._released.set()

        entry = _Entry(asyncio.create_task(self._load(wanted)))
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
        with MODEL_LOAD_SECONDS.time():
            model = await plan.load()
        entry.nbytes = model.nbytes
        MODEL_RESIDENT_BYTES.labels(model=str(wanted)).set(model.nbytes)
        _log.info("model.loaded", model=str(wanted), bytes=model.nbytes)
        await self._evict_idle(0)
        return model

    async def _make_room(self, needed: int) -> None:
        while not await self._evict_idle(needed):
            self._released.clear()
            await self._released.wait()

    async def _evict_idle(self, needed: int) -> bool:
        """Evict idle models, oldest use first, until `needed` bytes are free. False when the rest is in use."""
        while sum(entry.nbytes for entry in self._entries.values()) + needed > self._budget:
            idle = [wanted for wanted, entry in self._entries.items() if entry.model.done() and not entry.pins]
            if not idle:
                return False
            await self._evict(idle[0], self._entries[idle[0]])
        return True

    async def _evict(self, wanted: K, entry: _Entry[M]) -> None:
        self._entries.pop(wanted, None)
        if entry.model.cancelled() or entry.model.exception() is not None:
            return
        MODEL_RESIDENT_BYTES.remove(str(wanted))
        _log.info("model.evicted", model=str(wanted), bytes=entry.nbytes)
        await entry.model.result().close()
