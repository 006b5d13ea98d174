"""Counting where no cgroup can be made: by looking at the processes, many times a second.

What it misses is what happens between two looks: so a program may get beyond its memory limit for a moment, by what
each of its processes may hold at most. Files in its folders are bounded by the folders' sizes alone.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from .cgroups import Counted, Group

_EVERY_S = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


class PolledGroups:
    kind = "polling"

    def open(self, name: str, limits: Mapping[str, Any]) -> Group:  # noqa: ARG002  # nothing has a name
        return _Polled(limits["memory_bytes"])

    def close(self) -> None:
        """Nothing was made."""


class _Polled:
    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._counted = Counted(0.0, 0, False)
        self._first: int | None = None
        self._looking: asyncio.Task[None] | None = None

    def attach(self, pid: int) -> None:
        """What is to be watched does not exist yet."""

    def follow(self, pid: int, out_of_memory: Callable[[], None]) -> None:
        self._first = pid
        self._looking = asyncio.create_task(self._look(pid, out_of_memory))

    async def _look(self, first: int, out_of_memory: Callable[[], None]) -> None:
        while True:
            found = list(_tree(first))
            held = sum(map(_memory, found))
            used = sum(map(_processor_s, found))
            over = held > self._most
            before = self._counted
            self._counted = Counted(
                max(before.cpu_s, used), max(before.peak_bytes, held), before.out_of_memory or over
            )
            if over:
                out_of_memory()
            await asyncio.sleep(_EVERY_S)

    def kill(self) -> None:
        for pid in list(_tree(self._first)) if self._first else []:  # none is ever -1, which is everybody
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def counted(self) -> Counted:
        return self._counted

    def close(self) -> None:
        if self._looking:
            self._looking.cancel()


def _tree(first: int) -> Iterator[int]:
    waiting = [first]
    while waiting:
        pid = waiting.pop()
        yield pid
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children") as children:
                    waiting.extend(map(int, children.read().split()))


def _memory(pid: int) -> int:
    """Its share of what it shares."""
    with suppress(OSError, StopIteration), open(f"/proc/{pid}/smaps_rollup") as rollup:
        return int(next(line for line in rollup if line.startswith("Pss:")).split()[1]) * 1024
    return 0


def _processor_s(pid: int) -> float:
    """With the processes that it has waited for."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/stat") as stat:
        return sum(map(int, stat.read().rpartition(")")[2].split()[11:15])) / _TICKS
    return 0.0
