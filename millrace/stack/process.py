"""One operating-system process: started in a group of its own, logging to a file, gone for certain when stopped."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

LAUNCHER = Path(__file__).with_name("launch.py")
MARK = "MILLRACE_CHILD"
"""Environment variable with a child's random mark; everything that the child starts inherits it."""
_POLL_S = 0.05
_START_TIME_TOLERANCE_S = (
    2.0  # the kernel counts from boot, and what it takes for the boot time drifts with the clock
)


@dataclass(frozen=True)
class Identity:
    """A process, told apart from a later one with the same number."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Identity":
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process while it lives. A zombie does not."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _START_TIME_TOLERANCE_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class Child:
    """A process with everything it starts. It can be started again after it ended.

    Not bound to an event loop: what one loop started, another may stop.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self.mark = secrets.token_hex(12)
        self.identity: Identity | None = None
        self._env = {**env, MARK: self.mark}
        self._cwd = cwd
        self._orphan_signal = orphan_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """None while it runs, and before it was started."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        guard = [sys.executable, "-I", "-S", str(LAUNCHER), str(int(self._orphan_signal)), str(os.getpid())]
        # A file and no pipe: the child outlives a supervisor that stopped reading.
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  the command comes from the layout
                [*guard, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        self.identity = Identity.of(self._process.pid)

    async def wait(self) -> int:
        """Until it ended; its exit status, negative for a signal."""
        while (returncode := self.returncode) is None:
            if self._process is None:
                raise RuntimeError(f"{self.name} was never started")
            await asyncio.sleep(_POLL_S)
        return returncode

    async def stop(self, grace_s: float) -> None:
        """TERM to its group, then KILL to whatever is left after the grace."""
        if self.running:
            self.signal_group(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.wait()
        await self.kill()

    async def kill(self) -> None:
        """KILL it and everything it started, wherever that went."""
        if self.running:
            self.signal_group(signal.SIGKILL)
            await self.wait()
        if self._process is not None:
            await kill_marked({self.mark})

    def signal_group(self, signum: signal.Signals) -> None:
        # Only while our child is not reaped can its number not belong to somebody else.
        if self._process is not None and self.running:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)

    def log_tail(self, lines: int = 15) -> str:
        return tail(self.log, lines)


def tail(path: Path, lines: int) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 300 * lines))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


async def kill_marked(marks: Collection[str]) -> None:
    """KILL every process that carries one of these marks, also one that left its group or lost its parent."""
    async with asyncio.timeout(10):
        while found := [process for process in psutil.process_iter() if _mark(process) in marks]:
            for process in found:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            await asyncio.sleep(_POLL_S)


def _mark(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(MARK)
    except (psutil.Error, OSError):  # another user's, or gone meanwhile
        return None
