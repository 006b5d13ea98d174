"""How much of its queue a kind takes: everything, one job to see whether it works again, or nothing."""

import asyncio
from typing import Any

import structlog

from consumers.runtime.ceiling import Ceiling, Taking
from messaging.delivery import Subscription
from telemetry import metrics

log = structlog.get_logger()


class Intake:
    """`slots` bounds how many long jobs run at a time: their messages are acknowledged when they start, so that the
    broker's prefetch does not. Short jobs are bounded by the prefetch."""

    def __init__(self, kind: str, ceiling: Ceiling, subscription: Subscription, slots: int | None = None) -> None:
        self._kind, self._ceiling, self._subscription, self._slots = kind, ceiling, subscription, slots
        self._running = 0
        self._taken: Taking | None = Taking.ALL  # None while nothing is taken
        self._changed = asyncio.Event()
        self._adjusting = asyncio.Lock()

    async def started(self) -> None:
        """A long job occupies a slot. Returns when the queue gives no more than there are slots for."""
        self._running += 1
        await self._adjust()

    def ended(self) -> None:
        self._running -= 1
        self._changed.set()

    def look(self) -> None:
        """The ceiling may have changed its mind."""
        if self._wanted() is not self._taken:
            self._changed.set()

    async def run(self) -> None:
        while True:
            await self._adjust()
            paused = self._ceiling.taking is Taking.NOTHING
            try:
                async with asyncio.timeout(self._ceiling.until_probe_s if paused else None):
                    await self._changed.wait()
            except TimeoutError:
                self._ceiling.probe()
            self._changed.clear()

    def health(self) -> dict[str, Any]:
        return self._ceiling.health()

    def _wanted(self) -> Taking | None:
        taking = self._ceiling.taking
        if taking is Taking.NOTHING:
            return None
        if self._slots is None:
            return taking
        return taking if self._running < (1 if taking is Taking.ONE else self._slots) else None

    async def _adjust(self) -> None:
        async with self._adjusting:
            wanted = self._wanted()
            metrics.PAUSED.labels(self._kind).set(self._ceiling.taking is not Taking.ALL)
            if wanted is self._taken:
                return
            self._taken = wanted
            await self._subscription.pause()
            if self._ceiling.taking is not Taking.ALL:
                log.warning("intake", kind=self._kind, taking=self._ceiling.taking, reason=self._ceiling.reason)
            if wanted is not None:
                await self._subscription.resume(1 if wanted is Taking.ONE else None)
