"""The sandbox's surroundings in a test: things on the host that a program must not reach, and how a run is judged."""

import asyncio
import errno
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from consumers.execution.sandbox.ports import Ended, Limits, Program, Sandbox
from schemas.execution import Ending, Packages, Stream
from tests.sandbox.corpus import PRELUDE, Case, Expected

LIMITS = Limits(
    wall_s=20, memory_bytes=256 * 2**20, processes=24, output_bytes=2**17, disk_bytes=32 * 2**20, files=2_000
)
SPENDING = replace(LIMITS, wall_s=0.6)
"""For programs that are to run into something."""
TENSORS = replace(LIMITS, memory_bytes=2**30, processes=48)
_SECRET_NAME = "MILLRACE_TEST_SECRET"


@dataclass(frozen=True)
class Run:
    ended: Ended
    stdout: str
    stderr: str


@contextmanager
def bait(folder: Path) -> Iterator[dict[str, Any]]:
    """A file, a listening port, two sockets and a secret in the environment, and what a program is told of them."""
    halves = (uuid4().hex, uuid4().hex)
    canary = folder / "canary"
    canary.write_text("a file of the host")
    with ExitStack() as stack:
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0millrace-{halves[0]}")
        abstract.listen()
        path = f"/tmp/millrace-{halves[0][:8]}.sock"
        named = stack.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(path)
        named.listen()
        stack.callback(os.unlink, path)
        os.chmod(path, 0o777)  # noqa: PTH101
        os.environ[_SECRET_NAME] = "".join(halves)
        stack.callback(os.environ.pop, _SECRET_NAME)
        yield {
            "canary": str(canary),
            "halves": halves,
            "ports": [port.getsockname()[1]],
            "abstract": f"millrace-{halves[0]}",
            "socket": path,
            "pid": os.getpid(),
            "paths": [str(Path(__file__).parents[2]), str(folder), str(Path.home())],
        }


async def attempt(sandbox: Sandbox, case: Case, told: dict[str, Any], folder: Path) -> Run:
    limits = SPENDING if case.expected in (Expected.KILLED, Expected.LIMITED) else LIMITS
    if case.packages == "torch":
        limits = replace(limits, memory_bytes=TENSORS.memory_bytes, processes=TENSORS.processes)
    if case.expected is Expected.LIMITED:
        limits = replace(limits, wall_s=20)
    program = Program(
        code=PRELUDE + case.code,
        packages=Packages(case.packages),
        limits=limits,
        stdin=b"of the caller\n",
        argv=(json.dumps(told),),
    )
    return await run(sandbox, program, folder)


async def run(sandbox: Sandbox, program: Program, folder: Path) -> Run:
    said: dict[Stream, list[bytes]] = {stream: [] for stream in Stream}
    ended = await sandbox.run(program, folder, lambda stream, piece: said[stream].append(piece))
    out, err = (b"".join(said[stream]).decode(errors="replace") for stream in Stream)
    return Run(ended, out, err)


@dataclass(frozen=True)
class Verdict:
    got: Expected | None
    """None when it came to nothing that is allowed."""
    seen: str
    """How it showed."""

    @property
    def layer(self) -> str:
        return ", ".join(dict.fromkeys(_LAYERS.get(sign, sign) for sign in self.seen.split(", ")))


_LAYERS = {
    "EPERM": "filter",
    "ENOSYS": "filter",
    "SIGSYS": "filter",
    "EACCES": "Landlock or ownership",
    "EROFS": "read-only root",
    "ENOENT": "own file system",
    "ENOTDIR": "own file system",
    "EXDEV": "own file system",
    "ECONNREFUSED": "own network",
    "ESRCH": "own processes",
    "EBADF": "no descriptors",
    "gaierror": "filter",
    "memory": "cgroup",
    "timeout": "deadline",
    "output_limit": "output limit",
    "ValueError": "rlimits",
}

_NOT_ERRNO = ("gaierror", "ValueError")
_MISTAKES = ("NameError", "ImportError", "ModuleNotFoundError", "IndentationError")
"""Of the case itself: a program that falls over its own feet has tried nothing."""


def judge(run: Run) -> Verdict:
    """What a run came to, from what was seen of it alone."""
    ending = run.ended.ending
    if "escaped" in run.stdout:
        return Verdict(None, next(line for line in run.stdout.splitlines() if "escaped" in line))
    if ending in (Ending.TIMEOUT, Ending.MEMORY, Ending.OUTPUT_LIMIT):
        return Verdict(Expected.KILLED, ending.value)
    if ending is Ending.KILLED:
        return Verdict(Expected.KILLED, signal.Signals(run.ended.signal or 0).name)
    if "denied" in run.stdout and ending is Ending.OK:
        signs = re.findall(r"^denied (\w+)", run.stdout, re.MULTILINE)
        known = [sign for sign in signs if sign in errno.errorcode.values() or sign in _NOT_ERRNO]
        return Verdict(Expected.DENIED, ", ".join(dict.fromkeys(known)) or "never there")
    if ending is Ending.OK:
        return Verdict(Expected.WORKS, "ok")
    if run.ended.signal:
        return Verdict(Expected.LIMITED, signal.Signals(run.ended.signal).name)
    return Verdict(Expected.LIMITED, f"exit {run.ended.exit_code}")


def accepts(case: Case, run: Run, verdict: Verdict) -> bool:
    """A limited program may end well or badly, but it ends, within its limits."""
    if any(mistake in run.stderr for mistake in _MISTAKES):
        return False
    if case.expected is Expected.LIMITED:
        return verdict.got is not None and run.ended.ending in (Ending.OK, Ending.ERROR, Ending.MEMORY)
    if case.expected is Expected.KILLED and verdict.got is Expected.LIMITED:
        return run.ended.signal is not None
    return verdict.got is case.expected


def ignored(_stream: Stream, _piece: bytes) -> None:
    """For programs whose output is of no interest."""


def setting(event: asyncio.Event) -> Callable[[Stream, bytes], None]:
    """Set when a program says something."""
    return lambda _stream, _piece: event.set()
