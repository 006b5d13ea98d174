"""Acknowledges in runs: one frame settles all deliveries of a channel up to a tag, where each of them is done.

A quorum queue writes every acknowledgement to its log, so a frame for twenty costs it little more than one for one.
"""

import asyncio
from collections.abc import Callable

# How long an acknowledgement may wait for company. Nobody waits for it; a crash meanwhile only repeats a delivery.
_LINGER_S = 0.005


class Acknowledger:
    """Settles the deliveries of one channel, whose tags count up from 1. `send` acknowledges up to a tag when its
    second argument says so, else this tag only; where there is no channel any more it does nothing, and the broker
    delivers again, which every consumer bears."""

    def __init__(self, send: Callable[[int, bool], None]) -> None:
        self._send = send
        self._floor = 0  # every tag up to here is settled
        self._done: set[int] = set()
        self._settled_above_floor: set[int] = set()

    def done(self, tag: int) -> None:
        """Settle this delivery in a moment, with whatever else is done by then."""
        if not self._done:
            asyncio.get_running_loop().call_later(_LINGER_S, self.flush)
        self._done.add(tag)

    def flush(self) -> None:
        """Send every acknowledgement that was asked for."""
        if not self._done:
            return
        run, singles = self._next()
        if run is not None:
            self._send(run, True)
        for tag in singles:
            self._send(tag, False)

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
