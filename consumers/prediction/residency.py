"""Which models stay loaded: each is loaded once for all who wait, and the least recently used one goes first."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    nbytes: int


K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=Sized)


class Residency(Generic[K, M]):
    """Models by key, within a budget of bytes. One that is dropped while somebody uses it lives until they are done;
    one that is larger than the budget stays until another is asked for."""

    def __init__(self, load: Callable[[K], Awaitable[M]], budget_bytes: int) -> None:
        self._load, self._budget = load, budget_bytes
        self._entries: OrderedDict[K, asyncio.Task[M]] = OrderedDict()  # least recently used first

    async def get(self, key: K) -> M:
        """Raises what loading it raised; the next caller tries again."""
        loading = self._entries.get(key)
        if loading is None:
            loading = self._entries[key] = asyncio.create_task(self._loaded(key))
        self._entries.move_to_end(key)
        return await asyncio.shield(loading)  # one waiter's cancellation must not end the others' load

    @property
    def resident(self) -> list[K]:
        """Least recently used first."""
        return list(self._entries)

    async def close(self) -> None:
        """Wait for running loads."""
        await asyncio.gather(*self._entries.values(), return_exceptions=True)
        self._entries.clear()

    async def _loaded(self, key: K) -> M:
        try:
            model = await self._load(key)
        except BaseException:
            self._entries.pop(key, None)
            raise
        self._make_room(model.nbytes)
        return model

    def _make_room(self, needed: int) -> None:
        done = {key: task.result().nbytes for key, task in self._entries.items() if task.done()}
        total = needed + sum(done.values())
        for key, nbytes in done.items():
            if total <= self._budget:
                return
            del self._entries[key]
            total -= nbytes
