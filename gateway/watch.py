"""Whether the store answers, found out by one who may wait, so that a request need not.

A store that is gone refuses at once; one that hangs accepts connections and says nothing. A read that is under way
when that is noticed is given up as well.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from storage.cancellation import end
from storage.database import Database, StoreUnavailable, ping, unhurried, within

log = structlog.get_logger()

T = TypeVar("T")

_INTERVAL_S = 1.0
_PATIENCE_S = 2.0  # no read that the gateway makes takes as long on a store that is merely busy


class StoreWatch:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._up = True
        self._gone = asyncio.Event()

    async def reading(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer. Raises StoreUnavailable: at once while the store is known to be away."""
        if not self._up:
            question.close()
            raise StoreUnavailable("the store is away")
        asked, gone = unhurried(question), asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait({asked, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not asked.done():
            raise StoreUnavailable("the store does not answer")
        return asked.result()

    async def look(self) -> bool:
        """Ask the store now."""
        try:
            await within(_PATIENCE_S, ping(self._database))
        except StoreUnavailable as error:
            if self._up:
                log.warning("store_away", error=str(error))
            self._up = False
            self._gone.set()
            self._gone = asyncio.Event()
        else:
            if not self._up:
                log.info("store_back")
            self._up = True
        return self._up

    async def keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_INTERVAL_S)


@asynccontextmanager
async def open_watch(database: Database) -> AsyncIterator[StoreWatch]:
    watch = StoreWatch(database)
    looking = asyncio.create_task(watch.keep_looking())
    try:
        yield watch
    finally:
        await end(looking)
