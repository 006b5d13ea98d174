"""Acknowledges in runs: one frame settles all deliveries of a channel up to a tag, where each of them is done.

A quorum queue writes every acknowledgement to its log, so a frame for twenty costs it little more than one for one.
"""

import asyncio

import structlog
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelInvalidStateError
from aiormq.abc import AbstractChannel

log = structlog.get_logger()

_DEADLINE_S = 2.0


class Acknowledger:
    """Settles the deliveries of one channel, whose tags count up from 1."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self._floor = 0  # every tag up to here is settled
        self._done: set[int] = set()
        self._settled_above_floor: set[int] = set()
        self._flushing: asyncio.Task[None] | None = None

    def done(self, tag: int) -> None:
        """Settle this delivery in the next turn of the loop, with whatever else is done by then."""
        self._done.add(tag)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def flushed(self) -> None:
        """Return when every acknowledgement that was asked for is on its way."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])

    async def _flush(self) -> None:
        while self._done:
            run, singles = self._next()
            if run is not None:
                await self._ack(run, multiple=True)
            for tag in singles:
                await self._ack(tag, multiple=False)
        self._flushing = None

    def _next(self) -> tuple[int | None, list[int]]:
        """The tag that ends an unbroken run of settled ones, and those done behind a gap: no reason to hold them."""
        done, self._done = self._done, set()
        settled = self._settled_above_floor | done
        while self._floor + 1 in settled:
            self._floor += 1
            settled.remove(self._floor)
        self._settled_above_floor = settled
        # The broker knows only tags that are still out: the run ends with one of these.
        run = max((tag for tag in done if tag <= self._floor), default=None)
        return run, sorted(tag for tag in done if tag > self._floor)

    async def _ack(self, tag: int, *, multiple: bool) -> None:
        """When the channel is gone the broker delivers again, which every consumer bears."""
        try:
            # The client's queue of outgoing frames is bounded, and nobody empties it once a connection broke.
            async with asyncio.timeout(_DEADLINE_S):
                await self.channel.basic_ack(tag, multiple=multiple, wait=False)
        except (ChannelInvalidStateError, TimeoutError, *CONNECTION_EXCEPTIONS):
            log.info("ack_lost", tag=tag)
