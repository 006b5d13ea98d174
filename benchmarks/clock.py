"""A sleep that is exact to some tens of microseconds.

An event loop rounds its timers up to whole milliseconds. Where jobs take five of them that matters: it would turn
"polled every 4 ms" into 4.5 and make every contender look late.
"""

import asyncio
import ctypes
import heapq
import itertools
import os
import time
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_MONOTONIC, _ABSOLUTE = 1, 1  # CLOCK_MONOTONIC, which `time.perf_counter` reads too, and TFD_TIMER_ABSTIME


class _Spec(ctypes.Structure):
    """itimerspec: how often again (never), and when first."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Clock:
    """One timerfd, armed for the earliest of those who sleep. Replace it when Python 3.13 is the least."""

    def __init__(self) -> None:
        self._timer = _LIBC.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._timer, self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._timer)
        os.close(self._timer)

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(time.perf_counter() + seconds)

    async def sleep_until(self, due: float) -> None:
        if due <= time.perf_counter():
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (due, next(self._order), future))
        if self._sleeping[0][2] is future:
            self._arm(due)
        await future

    def _wake(self) -> None:
        os.read(self._timer, 8)
        while self._sleeping and self._sleeping[0][0] <= time.perf_counter():
            _, _, future = heapq.heappop(self._sleeping)
            if not future.done():
                future.set_result(None)
        if self._sleeping:
            self._arm(self._sleeping[0][0])

    def _arm(self, due: float) -> None:
        seconds = int(due)
        spec = _Spec(0, 0, seconds, int((due - seconds) * 1e9) + 1)
        _LIBC.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(spec), None)
