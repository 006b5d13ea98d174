"""Starts the stack in order, keeps it up, and stops it without leaving anything behind."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from millrace.stack import logs, state
from millrace.stack.assembly import Assembly, assemble, environment
from millrace.stack.backoff import Backoff
from millrace.stack.errors import StackError
from millrace.stack.layout import GATEWAY, ProcessSpec, layout, setup_command
from millrace.stack.process import Child, Identity
from millrace.stack.settings import StackSettings
from millrace.stack.state import ChildRecord, StackPhase, StackRecord, UnitRecord, UnitState
from millrace.stack.unit import External, Serving, Unit

T = TypeVar("T")
Say = Callable[[str], None]

_LOOK_S = 0.2
_SETUP_TIMEOUT_S = 120.0


@dataclass
class Member:
    """A unit under supervision."""

    unit: Unit
    pools: tuple[str, ...] = ()
    state: UnitState = "waiting"
    restarts: int = 0
    crashes: int = 0
    """In a row."""
    up_since: float = field(default_factory=time.monotonic)

    def record(self) -> UnitRecord:
        unit = self.unit
        return UnitRecord(
            name=unit.name,
            url=unit.url,
            state=self.state,
            external=isinstance(unit, External),
            pid=unit.pid,
            restarts=self.restarts,
            health_url=unit.health_url if isinstance(unit, Serving) else None,
            management_url=getattr(unit, "management_url", None),
            pools=self.pools,
            children=tuple(record for child in unit.children if (record := ChildRecord.of(child))),
        )


class Supervisor:
    """One run of the stack. Hold the lock of the data directory while it runs."""

    def __init__(
        self,
        settings: StackSettings,
        processes: Sequence[ProcessSpec] | None = None,
        *,
        setup: Sequence[str] | None = None,
        say: Say,
        backoff: Backoff | None = None,
        probe_every_s: float = 5.0,
    ) -> None:
        self._settings = settings
        self._specs = layout() if processes is None else processes
        self._setup = setup_command() if setup is None else setup
        self._say = say
        self._backoff = backoff or Backoff()
        self._probe_every_s = probe_every_s
        self._phase: StackPhase = "starting"
        self._identity = Identity.of(os.getpid())
        self._assembly: Assembly | None = None
        self._services: list[Member] = []
        self._processes: list[Member] = []

    async def run(self, stop: asyncio.Event, on_ready: Callable[[StackRecord], None]) -> None:
        """Until `stop` is set. Raises StackError when the stack does not come up."""
        try:
            await self._clear_leftovers()
            self._assemble()
            if await _unless(stop, self._start()):
                self._phase = "ready"
                on_ready(self._save())
                await _unless(stop, self._keep_all())
        finally:
            await self._stop()

    def log_names(self) -> list[str]:
        """The processes that have a log, in the order in which they start."""
        started = [member.unit.name for member in self._services if member.unit.children]
        return [*started, "setup", *(member.unit.name for member in self._processes)]

    async def _clear_leftovers(self) -> None:
        left = state.read(self._settings.home)
        if left is not None:
            names = await state.kill_leftovers(left)
            if names:
                self._say(f"stopped what an earlier run had left: {', '.join(names)}")

    def _assemble(self) -> None:
        self._assembly = assemble(self._settings, self._specs)
        self._services = [Member(unit) for unit in self._assembly.services]
        self._processes = [
            Member(unit, spec.pools) for unit, spec in zip(self._assembly.processes, self._specs, strict=True)
        ]
        for name in self.log_names():
            logs.rotate(self._settings.logs / f"{name}.log")
        self._save()

    async def _start(self) -> bool:
        await self._start_all(self._services)
        await self._run_setup()
        for member in self._services:
            await member.unit.settle()
        await self._start_all(self._processes)
        return True

    async def _start_all(self, members: Sequence[Member]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for member in members:
                    group.create_task(self._start_one(member))
        except* StackError as errors:
            raise errors.exceptions[0] from None

    async def _start_one(self, member: Member) -> None:
        self._mark(member, "starting")
        unit = member.unit
        await unit.launch()
        self._save()  # so that nothing is left unknown should we be killed now
        await unit.ready(unit.start_timeout_s)
        member.up_since = time.monotonic()
        self._mark(member, "ready")

    async def _run_setup(self) -> None:
        assert self._assembly is not None  # noqa: S101  `run` has assembled
        child = Child(
            "setup", self._setup, log=self._settings.logs / "setup.log", env=environment(self._assembly.contract)
        )
        child.start()
        try:
            async with asyncio.timeout(_SETUP_TIMEOUT_S):
                if await child.wait() != 0:
                    raise StackError("cannot set up the broker and the store", child.log_tail())
        except TimeoutError:
            raise StackError(f"setup was not done after {_SETUP_TIMEOUT_S:g} s", child.log_tail()) from None
        finally:
            await child.kill()

    async def _keep_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for member in (*self._services, *self._processes):
                group.create_task(self._keep(member))

    async def _keep(self, member: Member) -> None:
        """Restart it whenever it ends or hangs."""
        while True:
            reason = await self._failure(member)
            member.crashes = self._backoff.crashes(member.crashes, time.monotonic() - member.up_since)
            delay_s = self._backoff.delay_s(member.crashes)
            self._say(f"{member.unit.name} {reason}; starting it again in {delay_s:g} s")
            self._mark(member, "restarting")
            await member.unit.kill()
            await asyncio.sleep(delay_s)
            member.restarts += 1
            try:
                await self._start_one(member)
                self._say(f"{member.unit.name} is back")
            except StackError as error:
                self._say(str(error))
                await member.unit.kill()  # so that `_failure` finds it ended
                member.up_since = time.monotonic()

    async def _failure(self, member: Member) -> str:
        """How it failed, once it has."""
        unit, last_probe, last_answer = member.unit, time.monotonic(), time.monotonic()
        while not (ended := unit.ended):
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            if now - last_probe < self._probe_every_s:
                continue
            problem = await unit.problem()
            last_probe = time.monotonic()
            if problem is None:
                last_answer = last_probe
            elif unit.hang_after_s is not None and last_probe - last_answer > unit.hang_after_s:
                return f"did not answer for {unit.hang_after_s:g} s ({problem})"
            self._mark(member, "unhealthy" if problem else "ready")
        return ended

    async def _stop(self) -> None:
        """What uses the servers first, then the servers."""
        self._phase = "stopping"
        for members in (self._processes, self._services):
            for member in members:
                self._mark(member, "stopping")
            outcomes = await asyncio.gather(*(member.unit.stop() for member in members), return_exceptions=True)
            for member, outcome in zip(members, outcomes, strict=True):
                if outcome is not None:  # what depends on it, and what it depends on, must still stop
                    self._say(f"{member.unit.name} did not stop cleanly: {outcome!r}")
                self._mark(member, "stopped")
        state.remove(self._settings.home)

    async def kill(self) -> None:
        """Cut a stop short."""
        await asyncio.gather(*(member.unit.kill() for member in (*self._processes, *self._services)))

    def _mark(self, member: Member, new: UnitState) -> None:
        if member.state != new:
            member.state = new
            self._save()

    def _save(self) -> StackRecord:
        assert self._assembly is not None  # noqa: S101  `run` has assembled
        processes = [member.record() for member in self._processes]
        record = StackRecord(
            phase=self._phase,
            supervisor=self._identity,
            data_dir=self._settings.home,
            api_url=self._assembly.api_url,
            api_key=self._api_key() if self._phase == "ready" else None,
            environment=self._assembly.contract,
            gateway=next((process for process in processes if process.name == GATEWAY.name), None),
            pools=tuple(process for process in processes if process.name != GATEWAY.name),
            services=tuple(member.record() for member in self._services),
        )
        try:
            state.write(self._settings.home, record)
        except OSError as error:  # a full disk is no reason to leave processes behind
            self._say(f"cannot write the state file: {error}")
        return record

    def _api_key(self) -> str | None:
        key_file = self._settings.key_file
        return self._settings.api_key or (key_file.read_text().strip() if key_file.exists() else None)


async def _unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The outcome of the work, or None when `stop` was set first; the work is then cancelled."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
