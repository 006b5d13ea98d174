"""How a pool declares its work.

# consumers/diagnostics/system_probe.py
@handles(SYSTEM_PROBE, prefetch=200)
async def probe(task: Task[RunProbe], resources: None) -> ProbeAnswered: ...

# consumers/diagnostics/__init__.py
pool = WorkerPool("diagnostics")

Three ways to run, chosen by the decorator and by what it decorates:

`handles`, a coroutine       short: the message is held until the outcome is published.
`handles_long`, a coroutine  long: under a lease, in the pool's own process, for what waits more than it computes.
`handles_long`, a function   long: under a lease, in a child process of its own, which can be killed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Generic, Protocol, TypeVar

from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.kinds import AnyKind, JobKind

P = TypeVar("P", bound=Contract)
R = TypeVar("R", bound=Contract)


class Report(Protocol):
    """How far a job is, from 0 to 1, and how many seconds are left, where that is known."""

    def __call__(self, fraction: float, message: str, eta_s: float | None = None, /) -> Awaitable[None]: ...


class ChildReport(Protocol):
    """The same, in a child process."""

    def __call__(self, fraction: float, message: str, eta_s: float | None = None, /) -> None: ...


@dataclass(frozen=True)
class Task(Generic[P]):
    """One attempt at one job, as its handler sees it."""

    params: P
    envelope: Envelope
    progress: Report
    """Report how far the job is: `await task.progress(0.5, "2 of 4 files")`. Lossy; never waits for the broker."""


@dataclass(frozen=True)
class LongTask(Task[P]):
    checkpoint: Callable[[bytes], Awaitable[None]]
    """Keep this for whoever continues the job; returns when it is kept."""
    resumed_from: bytes | None
    """The last checkpoint of an earlier attempt, or of this one under an earlier lease."""
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the job is to end early; only for kinds that can."""


@dataclass(frozen=True)
class ChildTask(Generic[P]):
    """A long job as the handler in a child process sees it. Its methods do not wait for the broker or the store."""

    params: P
    envelope: Envelope
    progress: ChildReport
    checkpoint: Callable[[bytes], None]
    """Hand over what whoever continues the job needs. Kept from shortly after; the last one stands."""
    resumed_from: bytes | None
    finishing: Callable[[], bool] = lambda: False
    """Whether the job is to end early, with what it has found."""


@dataclass(frozen=True)
class Handler:
    kind: AnyKind
    run: Callable[..., Any]
    prefetch: int
    """How many of this kind's jobs one process runs at a time."""
    long: bool = False
    pauses: bool = True
    """Whether dead letters in a row mean that something is broken here. Not where each depends on somebody else's
    server."""

    @property
    def in_child(self) -> bool:
        return self.long and not iscoroutinefunction(self.run)


ShortRun = Callable[[Task[P], Any], Awaitable[R]]
LongRun = Callable[[LongTask[P], Any], Awaitable[R]] | Callable[[ChildTask[P]], R]


def handles(kind: JobKind[P, R], *, prefetch: int, pauses: bool = True) -> Callable[[ShortRun[P, R]], Handler]:
    """Make a coroutine function the handler of `kind`. Its second argument is what the pool's `resources` yields."""

    def declare(run: ShortRun[P, R]) -> Handler:
        return Handler(kind, run, prefetch, pauses=pauses)

    return declare


def handles_long(kind: JobKind[P, R], *, slots: int = 1) -> Callable[[LongRun[P, R]], Handler]:
    """Make `run` the handler of a kind whose jobs take longer than a message should be held. At most `slots` of them
    run in one process at a time."""
    if kind.backoff_s:
        raise TypeError(f"{kind.name} runs long, and its attempts wait in delay tiers only")

    def declare(run: LongRun[P, R]) -> Handler:
        return Handler(kind, run, slots, long=True)

    return declare
