"""The cold tier: a Python started for each program in a place that Debian's bubblewrap builds.

For hosts where bubblewrap may have user namespaces and others may not. Slower, and weaker than tier A in what its
docstring says: the zygotes' limits, Landlock, filter and PID 1 are the same.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from consumers.execution.sandbox.inside import wire
from consumers.execution.sandbox.inside.channel import Channel, ended
from consumers.execution.sandbox.inside.image import CODE, Image
from consumers.execution.sandbox.inside.polling import PolledGroups
from consumers.execution.sandbox.inside.program import WORK
from consumers.execution.sandbox.inside.supervision import Broken, Job, account, expect, furnish, let_run
from consumers.execution.sandbox.inside.zygotes import environment
from consumers.execution.sandbox.output import Outputs
from consumers.execution.sandbox.packages import entries
from consumers.execution.sandbox.ports import Ended, Program, SandboxFault, SandboxUnavailable, Tier
from consumers.execution.sandbox.process import interpreter
from consumers.execution.sandbox.settings import SandboxSettings
from consumers.execution.sandbox.zygotic import conclude
from schemas.execution import Packages, Stream

_START_S = 30.0
_BOOT = f"import sys; sys.path[:0] = [{CODE!r}]; sys.path += %r; from inside.cold import start; start()"
_DEVICES = ("null", "zero", "full", "random", "urandom")
_NAMESPACES = ("user", "pid", "net", "ipc", "uts", "cgroup-try")


class BubblewrapSandbox:
    """What it does not stop beyond what tier A does not: a program learns where its packages and mounts lie on the
    host; /proc is empty; nothing bounds how many files it makes but its folders' sizes; memory is looked at, not
    counted; and to the host it is the worker's user."""

    counting = "polling"
    own_identities = False
    tier = Tier.A_MINUS

    def __init__(self, settings: SandboxSettings, bwrap: str) -> None:
        self._bwrap = bwrap
        self._images = {packages: _image(settings, packages) for packages in Packages}

    async def run(self, program: Program, artifacts: Path, output: Callable[[Stream, bytes], None]) -> Ended:
        outputs = Outputs(program.limits.output_bytes, output)
        up, theirs = Channel.pair(identify=True)
        with ExitStack() as stack:
            stack.callback(up.close)
            stack.callback(outputs.close)
            with theirs:
                process = await self._start(program, theirs.fileno(), outputs)
            order = {
                "limits": asdict(program.limits),
                "files": {name: str(path.absolute()) for name, path in program.files.items()},
                "mounts": {},
            }
            job = Job(order, up)
            group = PolledGroups().open("", order["limits"])
            stack.callback(group.close)
            work: int | None = None
            try:
                async with asyncio.timeout(_START_S):
                    ready = await expect(job, "ready")
                    work = ready.descriptors[0]
                    stack.callback(os.close, work)
                    job.pidfd = os.pidfd_open(ready.pid)
                    stack.callback(os.close, job.pidfd)
                    await furnish(job)
                group.follow(ready.pid, lambda: job.kill("memory"))
                outputs.follow(lambda: job.kill("output"))
                job.start()
                await up.send({"is": "go"})
                await let_run(job, group)
                told = await account(job, group)
            except (Broken, OSError) as error:
                raise SandboxFault(str(error)) from error
            finally:
                await _end(process, job)
            outputs.drain()
            return await conclude(program, told, outputs, work, artifacts)

    async def _start(self, program: Program, up: int, outputs: Outputs) -> asyncio.subprocess.Process:
        inner = {"code": program.code, "argv": program.argv, "limits": asdict(program.limits)}
        image = self._images[program.packages]
        arguments = b"\0".join(argument.encode() for argument in _arguments(image, program))
        with ExitStack() as stack:
            held = []
            for name, content in {
                "arguments": arguments,
                "program": json.dumps(inner).encode(),
                "stdin": program.stdin,
            }.items():
                held.append(wire.memory_file(content, name))
                stack.callback(os.close, held[-1])
            for end in outputs.write_ends:
                stack.callback(os.close, end)
            return await asyncio.create_subprocess_exec(
                *(self._bwrap, "--args", str(held[0]), image.inner_executable, "-I", "-S", "-B", "-c"),
                *(_BOOT % (image.search_path,), str(up), str(held[1])),
                stdin=held[2],
                stdout=outputs.write_ends[0],
                stderr=outputs.write_ends[1],
                pass_fds=[held[0], held[1], up],
                env={},
                cwd="/",
                start_new_session=True,
            )


@asynccontextmanager
async def open_bubblewrap(settings: SandboxSettings) -> AsyncIterator[BubblewrapSandbox]:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxUnavailable("bubblewrap is not installed: apt-get install bubblewrap")
    if os.geteuid() == 0:
        raise SandboxUnavailable("bubblewrap started as root keeps root's files within reach: run as another user")
    yield BubblewrapSandbox(settings, bwrap)


def _image(settings: SandboxSettings, packages: Packages) -> Image:
    found = {folder: tuple(names) for folder, names in entries(settings.distributions[packages]).items()}
    return Image(str(Path(interpreter()).resolve()), str(Path(sys.base_prefix).resolve()), found)


def _arguments(image: Image, program: Program) -> Iterator[str]:
    """By a descriptor, because what stands on the command line is seen in /proc/1/cmdline."""
    yield from (f"--unshare-{name}" for name in _NAMESPACES)
    yield from ("--disable-userns", "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL")
    yield from ("--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--clearenv")
    for name, value in environment(image).items():
        yield from ("--setenv", name, value)
    yield from _runtime(image)
    for name in _DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
    for name, source in program.mounts.items():
        yield from ("--ro-bind", str(source.absolute()), f"/mnt/{name}")
    disk, shared = str(program.limits.disk_bytes), str(program.limits.memory_bytes // 2)
    for path, size in {WORK: disk, "/tmp": disk, "/dev/shm": shared, "/proc": "4096"}.items():  # noqa: S108
        yield from ("--size", size, "--tmpfs", path)
    yield from ("--dir", "/packages", "--dir", "/mnt", "--dir", "/sys", "--remount-ro", "/proc", "--remount-ro", "/")
    yield from ("--chdir", WORK)


def _runtime(image: Image) -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")
    yield from ("--ro-bind-try", "/etc/alternatives", "/etc/alternatives")
    if image.inner_prefix != image.prefix:
        yield from ("--ro-bind", image.prefix, image.inner_prefix)
    for (folder, names), target in zip(image.packages.items(), image.search_path, strict=True):
        for name in names:
            yield from ("--ro-bind-try", f"{folder}/{name}", f"{target}/{name}")
    yield from ("--ro-bind", str(Path(__file__).parent / "inside"), f"{CODE}/inside")


async def _end(process: asyncio.subprocess.Process, job: Job) -> None:
    """All of it is dead afterwards, whatever happened before."""
    if process.returncode is None:  # not by its own method, which may take the status from whoever waits for it
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    if job.pidfd >= 0:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(job.pidfd, signal.SIGKILL)
        await ended(job.pidfd)
    await process.wait()
