"""A model in the device's child process, as the worker asks it."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from consumers.devices import Child, Device, DeviceLost
from consumers.inference.batching import Isolated
from consumers.inference.ports import Archive, Facts, Files, Input
from consumers.runtime.verdicts import RetryLater

COMPUTE, LOAD = "compute", "load"
"""Lanes of the child: a model loads while another one computes."""

_LOAD_S = 600.0  # from a cold disk, on a loaded machine

_keys = itertools.count()


class RemoteModel:
    """Placed again, with the same dtype, when the child process that held it has died. `read` says from what."""

    def __init__(self, device: Device, read: Callable[[], Awaitable[Files | Archive]], dtype: str) -> None:
        self._device, self._read, self._dtype = device, read, dtype
        self._key = next(_keys)
        self._child: Child | None = None
        self._placing = asyncio.Lock()
        self.facts: Facts

    async def place(self) -> Child:
        """Returns when it is in the child's memory. Raises Reject for what cannot be loaded, RetryLater when there is
        no memory for it or when loading it cost the child its life, HaltConsumer when there is no device."""
        async with self._placing:
            child = await self._device.child()
            if child is not self._child:
                await self._load(child)
            return child

    async def forward(self, batch: Sequence[Input], limit_s: float) -> Isolated:
        """After what was asked before it. Raises DeviceLost, and what `place` raises."""
        child = await self.place()
        done: Isolated = await child.call("forward", self._key, batch, lane=COMPUTE, limit_s=limit_s)
        return done

    async def evict(self) -> None:
        if self._child is not None and self._child.alive:
            with suppress(DeviceLost):
                await self._child.call("evict", self._key, lane=COMPUTE)

    async def _load(self, child: Child) -> None:
        what = await self._read()
        try:
            facts: Facts = await child.call("load", self._key, what, self._dtype, lane=LOAD, limit_s=_LOAD_S)
        except MemoryError as error:
            raise RetryLater(f"no memory for {what} on the device: {error}") from error
        except DeviceLost as error:
            raise RetryLater(f"while {what} was loaded: {error}") from error
        self.facts, self._child, self._dtype = facts, child, facts.identity.dtype
