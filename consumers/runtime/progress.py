"""Telling that a job runs, and how far it is. Advisory: nothing here may delay or fail the job."""

import asyncio
import time
from contextlib import suppress
from datetime import datetime

from messaging.publisher import PublishFailed
from producers.outbox import Outbox
from schemas.envelope import Envelope
from schemas.lifecycle import JobProgressed, JobStarted, LifecycleEvent
from storage.blobs import BlobUnavailable

# A job that ends sooner is told of once, by its outcome, which carries `started_at`: one message instead of two.
ANNOUNCE_AFTER_S = 0.25


class Progress:
    """One attempt's voice while its handler runs. Publishes one event at a time and drops what comes meanwhile."""

    def __init__(
        self, envelope: Envelope, outbox: Outbox, worker: str, *, first_sequence: int = 0, every_s: float = 0
    ) -> None:
        """At most one report is told per `every_s`."""
        self._envelope, self._outbox, self._worker = envelope, outbox, worker
        self._sequence, self._every_s, self._next_at = first_sequence, every_s, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None

    def announce(self, started_at: datetime) -> None:
        """Publish JobStarted unless the attempt ends within `ANNOUNCE_AFTER_S`."""
        self._timer = asyncio.get_running_loop().call_later(ANNOUNCE_AFTER_S, self._tell_start, started_at)

    async def report(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + self._every_s
            self._sequence += 1
            self.tell(JobProgressed(fraction=fraction, message=message, eta_s=eta_s))

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._telling is not None and not self._telling.done():
            await self._telling

    def _tell_start(self, started_at: datetime) -> None:
        self.tell(JobStarted(started_at=started_at, worker=self._worker))

    def tell(self, event: LifecycleEvent) -> None:
        """Publish an event of the running attempt, unless one is under way."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._publish(event, self._sequence))

    async def _publish(self, event: LifecycleEvent, sequence: int) -> None:
        envelope = self._envelope.event(event, source=self._worker, sequence=sequence)
        with suppress(PublishFailed, BlobUnavailable):
            await self._outbox.tell(envelope, event)
