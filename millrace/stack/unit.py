"""What the supervisor starts, probes and stops: a server with its processes."""

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from millrace.stack import probes
from millrace.stack.errors import StackError
from millrace.stack.ports import is_free
from millrace.stack.process import Child

Probe = Callable[[str], Awaitable[None]]


class Unit(ABC):
    """A server that answers at `url`. Use it as an async context manager, or call start, kill and stop."""

    start_timeout_s: float = 60.0
    grace_s: float = 15.0
    hang_after_s: float | None = None
    """When set: not answering for this long counts as a crash."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url

    @property
    @abstractmethod
    def children(self) -> tuple[Child, ...]:
        """Its processes, the serving one first. None for a server that somebody else runs."""

    @abstractmethod
    async def probe(self) -> None:
        """Use it once. Raises whatever the failure raises."""

    @property
    def pid(self) -> int | None:
        return self.children[0].pid if self.children else None

    @property
    def ended(self) -> str | None:
        """How the serving process ended, None while it runs."""
        code = self.children[0].returncode if self.children else None
        if code is None:
            return None
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"

    async def launch(self) -> None:
        """Start the processes that do not run, without waiting until they serve."""
        for child in self.children:
            if not child.running:
                self.require_free_port()
                child.start()

    def require_free_port(self) -> None:
        """Raises StackError. Otherwise whoever has the port would answer our probes."""
        port = urlsplit(self.url).port
        if port is not None and not is_free(port):
            raise StackError(f"{self.name} cannot start: port {port} is taken by another program")

    async def settle(self) -> None:  # noqa: B027  most have nothing to wait for
        """Return when what was declared would survive a crash."""

    async def start(self, timeout_s: float | None = None) -> None:
        """Start, and return when it answers. Leaves nothing behind when it raises StackError."""
        try:
            await self.launch()
            await self.ready(timeout_s or self.start_timeout_s)
        except BaseException:
            await self.kill()
            raise

    async def ready(self, timeout_s: float) -> None:
        """Probe until it answers. Raises StackError with the end of the log."""
        reason = "no answer"
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    problem = await self.problem()
                    if self.ended:  # asked second: another server may answer on a port that ours did not get
                        raise StackError(f"{self.name} {self.ended} while it started", self._log_tail())
                    if problem is None:
                        return
                    reason = problem
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StackError(f"{self.name} was not ready after {timeout_s:g} s: {reason}", self._log_tail()) from None

    async def problem(self) -> str | None:
        """Why it does not answer, None when it does."""
        # A task of its own, since a client library may swallow a cancellation: here it ends the wait in any case.
        probing = asyncio.ensure_future(self.probe())
        try:
            await asyncio.wait({probing}, timeout=probes.TIMEOUT_S)
            if not probing.done():
                return f"no answer within {probes.TIMEOUT_S:g} s"
            error = probing.exception()
            return None if error is None else (str(error).splitlines() or [type(error).__name__])[0]
        finally:
            probing.cancel()
            await asyncio.wait({probing}, timeout=1)

    async def stop(self) -> None:
        """TERM, the grace, KILL; nothing is left. The serving process first."""
        for child in self.children:
            await child.stop(self.grace_s)

    async def kill(self) -> None:
        """Like a crash. `start` brings it back on the same port and data."""
        for child in self.children:
            await child.kill()

    def _log_tail(self) -> str:
        return self.children[0].log_tail() if self.children else ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.stop()


class External(Unit):
    """A server that somebody else runs: only probed."""

    def __init__(self, name: str, url: str, probe: Probe) -> None:
        super().__init__(name, url)
        self._probe = probe

    @property
    def children(self) -> tuple[Child, ...]:
        return ()

    async def probe(self) -> None:
        await self._probe(self.url)


class Serving(Unit):
    """One child process that answers HTTP on `health_url`: the gateway or a pool process."""

    def __init__(self, child: Child, url: str, health_url: str) -> None:
        super().__init__(child.name, url)
        self.health_url = health_url
        self._child = child

    @property
    def children(self) -> tuple[Child, ...]:
        return (self._child,)

    async def probe(self) -> None:
        await probes.http(self.health_url)
