"""Puts letters into the store, those that come together in one write: a tenth of the cost of one by one."""

import asyncio

from consumers.runtime.patience import PASSING
from storage.cancellation import end
from storage.dead_letters import LetterStore
from storage.documents import Letter

_Waiting = list[tuple[Letter, asyncio.Future[None]]]


class Shelf:
    def __init__(self, store: LetterStore) -> None:
        self._store = store
        self._waiting: _Waiting = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, letter: Letter) -> None:
        """Return when the letter is stored, once, however often it is delivered. Raises StoreUnavailable, or what the
        driver says of a letter that it cannot express."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((letter, stored))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await stored

    async def close(self) -> None:
        if self._writing is not None:
            await end(self._writing)

    async def _write(self) -> None:
        """What arrives during a write forms the next one."""
        try:
            while self._waiting:
                together, self._waiting = self._waiting, []
                await self._put(together)
        finally:
            self._writing = None

    async def _put(self, together: _Waiting) -> None:
        try:
            await self._store.add([letter for letter, _ in together])
        except PASSING as error:
            _settle(together, error)
        except Exception as error:  # noqa: BLE001  # one that cannot be expressed must not keep the others out
            if len(together) == 1:
                _settle(together, error)
                return
            for alone in together:
                await self._put([alone])
        else:
            _settle(together, None)


def _settle(together: _Waiting, error: Exception | None) -> None:
    for _, stored in together:
        if stored.done():  # whoever waited was cancelled
            continue
        if error is None:
            stored.set_result(None)
        else:
            stored.set_exception(error)
