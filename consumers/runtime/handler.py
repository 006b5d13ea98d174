"""How a pool declares its work.

# consumers/diagnostics/system_probe.py
@handles(SYSTEM_PROBE, prefetch=200)
async def probe(task: Task[RunProbe], resources: None) -> ProbeAnswered: ...

# consumers/diagnostics/__init__.py
pool = WorkerPool("diagnostics")
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.kinds import AnyKind, JobKind

P = TypeVar("P", bound=Contract)
R = TypeVar("R", bound=Contract)


@dataclass(frozen=True)
class Task(Generic[P]):
    """One attempt at one job, as its handler sees it."""

    params: P
    envelope: Envelope
    progress: Callable[[float, str], Awaitable[None]]
    """Report how far the job is: `await task.progress(0.5, "2 of 4 files")`. Lossy; never waits for the broker."""


@dataclass(frozen=True)
class Handler:
    kind: AnyKind
    run: Callable[[Task[Any], Any], Awaitable[Contract]]
    prefetch: int
    """How many of this kind's jobs one process holds, and so runs, at a time."""


def handles(kind: JobKind[P, R], *, prefetch: int) -> Callable[[Callable[[Task[P], Any], Awaitable[R]]], Handler]:
    """Make a coroutine function the handler of `kind`. Its second argument is what the pool's `resources` yields."""

    def declare(run: Callable[[Task[P], Any], Awaitable[R]]) -> Handler:
        return Handler(kind, run, prefetch)

    return declare
