"""What `millrace up` and `millrace down` do, apart from printing it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from millrace.stack import logs, state
from millrace.stack.errors import StackError
from millrace.stack.process import tail
from millrace.stack.settings import StackSettings
from millrace.stack.state import StackRecord
from millrace.stack.supervisor import Supervisor

_DOWN_TIMEOUT_S = 60.0
_POLL_S = 0.1


async def supervise(
    supervisor: Supervisor, settings: StackSettings, on_ready: Callable[[StackRecord], None], *, echo: bool
) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; a second signal kills instead of waiting."""
    stop = asyncio.Event()
    killing: list[asyncio.Task[None]] = []

    def on_signal() -> None:
        if stop.is_set():
            killing.append(asyncio.create_task(supervisor.kill()))
        stop.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, on_signal)
    keeping_logs = asyncio.create_task(_keep_logs(supervisor, settings.logs, echo=echo))
    try:
        await supervisor.run(stop, on_ready)
    finally:
        keeping_logs.cancel()
        await asyncio.gather(keeping_logs, *killing, return_exceptions=True)


async def _keep_logs(supervisor: Supervisor, directory: Path, *, echo: bool) -> None:
    follower = logs.LogFollower()
    while True:
        await asyncio.sleep(0.2)
        names = supervisor.log_names()
        paths = [directory / f"{name}.log" for name in names]
        if echo:
            write_lines(logs.LogPrinter(names, colour=wants_colour()), follower.poll(paths))
        for path in paths:
            logs.trim(path)


def write_lines(printer: logs.LogPrinter, lines: list[tuple[str, str]]) -> None:
    for name, line in lines:
        sys.stdout.write(printer.format(name, line) + "\n")
    sys.stdout.flush()


def wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


@contextmanager
def only_supervisor(settings: StackSettings) -> Iterator[bool]:
    """Whether the data directory is ours for the duration: one stack each."""
    lock = state.lock(settings.home)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.close()


def supervised(settings: StackSettings) -> bool:
    """Whether a supervisor holds the data directory, ready or not."""
    with only_supervisor(settings) as free:
        return not free


def running(settings: StackSettings) -> StackRecord | None:
    """The stack that runs here."""
    record = state.read(settings.home)
    return record if record is not None and record.alive else None


def wait_ready(settings: StackSettings, timeout_s: float, ended: Callable[[], bool]) -> StackRecord:
    """Until the stack that somebody starts here is ready. Raises StackError when it ends before."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (record := running(settings)) and record.phase == "ready":
            return record
        if ended():
            raise StackError("the stack did not come up", tail(supervisor_log(settings), 20))
        time.sleep(_POLL_S)
    raise StackError(f"the stack was not ready after {timeout_s:g} s: see `millrace logs`")


def supervisor_log(settings: StackSettings) -> Path:
    return settings.logs / "supervisor.log"


def detach(settings: StackSettings, arguments: list[str], timeout_s: float) -> StackRecord:
    """Start a supervisor in the background and return when the stack is ready."""
    log = supervisor_log(settings)
    log.parent.mkdir(parents=True, exist_ok=True)
    logs.rotate(log)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  ourselves
            [sys.executable, "-m", "millrace", "up", "--no-echo", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return wait_ready(settings, timeout_s, lambda: process.poll() is not None)
    except BaseException:
        if process.poll() is None:
            process.terminate()
            process.wait(_DOWN_TIMEOUT_S)
        raise
    finally:
        process.returncode = process.poll() or 0  # it runs on, and Popen would warn of that


def down(settings: StackSettings) -> list[str]:
    """Stop the stack of this data directory, or what a killed one has left. Returns what was stopped."""
    record = state.read(settings.home)
    if record is None:
        return []
    names = [unit.name for unit in record.units if not unit.external]
    if record.alive:
        _terminate(record)
    if (left := state.read(settings.home)) is None:
        return names
    leftovers = asyncio.run(state.kill_leftovers(left))
    state.remove(settings.home)
    return leftovers


def _terminate(record: StackRecord) -> None:
    with suppress(ProcessLookupError):
        os.kill(record.supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_TIMEOUT_S
    while supervisor := record.supervisor.find():
        if time.monotonic() > deadline:
            supervisor.kill()
        time.sleep(_POLL_S)


def show_logs(settings: StackSettings, name: str | None, *, lines: int, follow: bool) -> None:
    """Print the last lines of one log or of all, and with `follow` whatever comes, until interrupted."""
    known = sorted(path.stem for path in settings.logs.glob("*.log"))
    if name is not None and name not in known:
        raise StackError(f"there is no log of {name!r}: known are {', '.join(known) or 'none'}")
    names = [name] if name else known
    paths = [settings.logs / f"{each}.log" for each in names]
    printer, follower = logs.LogPrinter(names, colour=wants_colour()), logs.LogFollower(from_start=False)
    follower.poll(paths)
    write_lines(printer, [line for path in paths for line in logs.last_lines(path, lines)])
    with suppress(KeyboardInterrupt):
        while follow:
            write_lines(printer, follower.poll(paths))
            time.sleep(_POLL_S)
