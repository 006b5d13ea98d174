"""The deliveries to one receiver, a few at a time: one that hangs keeps nobody waiting but its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumers.runtime.verdicts import NotNow

AT_ONCE, MOST_WAITING = 10, 30
"""Together a fifth of the places that a worker has."""
_FIRST_S = 1.0  # before any has shown how long it takes


class Line:
    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._took_s = _FIRST_S

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises NotNow when so many wait that this one would keep a place from others for long."""
        if self._waiting >= MOST_WAITING:
            passing_s = self._took_s * (1 + MOST_WAITING / AT_ONCE)
            raise NotNow(f"{AT_ONCE} deliveries to this receiver are under way, and others wait", delay_s=passing_s)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        began = time.monotonic()
        try:
            yield
        finally:
            self._took_s = time.monotonic() - began
            self._places.release()
