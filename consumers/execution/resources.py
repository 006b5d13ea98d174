"""What the handlers of one process share: the sandbox, and who shows what programs write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from consumers.encoders.settings import ModelSettings
from consumers.execution.capture import Capture
from consumers.execution.sandbox.ports import Ended, Program, Sandbox, SandboxFault, SandboxUnavailable
from consumers.execution.settings import ExecutionSettings
from consumers.runtime.pool import Services
from consumers.runtime.verdicts import HaltConsumer, RetryLater
from producers.lint import LintSettings
from schemas.envelope import Envelope
from schemas.execution import Stream
from storage.output import OutputWriter, open_output_writer
from telemetry.metrics import PROGRAMS

log = structlog.get_logger()

OpenSandbox = Callable[[], AbstractAsyncContextManager[Sandbox]]


@dataclass(frozen=True)
class Ran:
    ended: Ended
    tier: str
    output: Capture


class Execution:
    def __init__(self, services: Services, settings: ExecutionSettings, walls: "Walls", output: OutputWriter) -> None:
        self.services, self.settings, self._walls, self._output = services, settings, walls, output
        self.lint, self.models = LintSettings(), ModelSettings()
        self._slots = asyncio.Semaphore(settings.slots)

    @property
    def unavailable(self) -> str | None:
        return f"no sandbox: {self._walls.missing}" if self._walls.missing else None

    def health(self) -> dict[str, object]:
        return {"sandbox": self._walls.health()}

    async def run(self, envelope: Envelope, program: Program, artifacts: Path) -> Ran:
        """Raises HaltConsumer where no sandbox holds, RetryLater when it broke down."""
        try:
            sandbox = await self._walls.up()
            capture = Capture(program.limits.output_bytes)
            async with self._slots, self._output.of(envelope.job_id) as live:

                def take(stream: Stream, piece: bytes) -> None:
                    capture.add(stream, piece)
                    live.write(stream, piece)

                ended = await sandbox.run(program, artifacts, take)
        except SandboxUnavailable as error:
            raise HaltConsumer(f"no sandbox: {error}") from error
        except SandboxFault as error:
            raise RetryLater(f"the sandbox broke down: {error}") from error
        PROGRAMS.labels(envelope.kind, ended.ending).inc()
        return Ran(ended, sandbox.tier.value, capture)


class Walls:
    """The sandbox, opened when the process starts, and again for each job that asks while there is none: the pool
    asks with one job at a time then, later and later."""

    def __init__(self, open_sandbox: OpenSandbox, stack: AsyncExitStack) -> None:
        self._open, self._stack = open_sandbox, stack
        self._sandbox: Sandbox | None = None
        self.missing, self._opening = "", asyncio.Lock()

    async def up(self) -> Sandbox:
        """Raises SandboxUnavailable."""
        async with self._opening:
            if self._sandbox is None:
                try:
                    self._sandbox = await self._stack.enter_async_context(self._open())
                except SandboxUnavailable as error:
                    self.missing = str(error)
                    raise
                self.missing = ""
        return self._sandbox

    def health(self) -> dict[str, str]:
        return {"unavailable": self.missing} if self._sandbox is None else {"tier": self._sandbox.tier.value}


@asynccontextmanager
async def open_execution_with(open_sandbox: OpenSandbox, services: Services) -> AsyncIterator[Execution]:
    async with AsyncExitStack() as stack:
        output = await stack.enter_async_context(open_output_writer(services.storage))
        walls = Walls(open_sandbox, stack)
        try:
            await walls.up()
        except SandboxUnavailable as error:  # said on /healthz from now on, and to the first job
            log.error("no_sandbox", error=str(error))
        yield Execution(services, ExecutionSettings(), walls, output)


def open_execution(services: Services) -> AbstractAsyncContextManager[Execution]:
    from consumers.execution.sandbox.opening import open_sandbox
    from consumers.execution.sandbox.settings import SandboxSettings

    return open_execution_with(partial(open_sandbox, SandboxSettings()), services)
