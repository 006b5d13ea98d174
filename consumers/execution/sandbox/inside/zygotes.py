"""The zygotes of all profiles: started when they are first needed, replaced when they die or have served enough."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from . import kernel, wire
from .channel import Channel, ended
from .image import CODE, Image, enter
from .kernel import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS
from .program import WORK

_START_S = 120.0  # torch from a cold disk
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_MORE_LIKELY_KILLED = "500"  # than what serves everybody, when the host runs out of memory


class ZygoteFailed(Exception):
    """It did not come up. Says why, and which system call it was, if it was one."""

    def __init__(self, why: str, call: str | None = None) -> None:
        super().__init__(why)
        self.call = call


@dataclass(frozen=True)
class Profile:
    image: Image
    preload: tuple[str, ...]


@dataclass
class Zygote:
    pidfd: int
    channel: Channel
    jobs: int = 0
    running: int = 0
    dead: asyncio.Task[None] | None = None
    retired: bool = False


@dataclass(frozen=True)
class Birth:
    """What every zygote is started with."""

    scratch: str
    user: int
    may_change_user: bool
    without: tuple[str, ...]
    counted: bool


@dataclass
class Zygotes:
    profiles: Mapping[str, Profile]
    birth: Birth
    jobs_each: int
    _alive: dict[str, Zygote] = field(default_factory=dict)
    _starting: dict[str, asyncio.Task[Zygote]] = field(default_factory=dict)

    async def fork(self, name: str, descriptors: Sequence[int]) -> Zygote:
        """Have one of the profile fork a job, told what it is by the descriptors. `leave` when it is over."""
        zygote = await self.get(name)
        zygote.jobs += 1
        zygote.running += 1
        await zygote.channel.send({"is": "job"}, descriptors)
        if zygote.jobs >= self.jobs_each:
            self._retire(name, zygote)
        return zygote

    def leave(self, zygote: Zygote) -> None:
        zygote.running -= 1
        if zygote.retired and not zygote.running:
            zygote.channel.close()

    async def get(self, name: str) -> Zygote:
        zygote = self._alive.get(name)
        if zygote is not None and not zygote.channel.gone:
            return zygote
        if name not in self._starting:
            self._starting[name] = asyncio.create_task(self._start(name))
            self._starting[name].add_done_callback(lambda _: self._starting.pop(name))
        return await asyncio.shield(self._starting[name])

    def _retire(self, name: str, zygote: Zygote) -> None:
        zygote.retired = True
        self._alive.pop(name, None)

    async def _start(self, name: str) -> Zygote:
        channel, theirs = Channel.pair()
        with theirs:
            pid = _clone(self.profiles[name], self.birth, theirs)
        zygote = Zygote(os.pidfd_open(pid), channel)
        zygote.dead = asyncio.create_task(_bury(pid, zygote))
        try:
            async with asyncio.timeout(_START_S):
                message = await channel.receive()
        except TimeoutError:
            message = None
        if message is None or message.body["is"] != "ready":
            channel.close()
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(zygote.pidfd, signal.SIGKILL)
            if message is None:
                raise ZygoteFailed(f"the interpreter for {name} did not start")
            raise ZygoteFailed(message.body["why"], message.body.get("call"))
        self._alive[name] = zygote
        return zygote

    async def close(self) -> None:
        """Kills them with all of their jobs."""
        for zygote in self._alive.values():
            with suppress(ProcessLookupError, OSError):
                signal.pidfd_send_signal(zygote.pidfd, signal.SIGKILL)
        dying = [zygote.dead for zygote in self._alive.values() if zygote.dead]
        await asyncio.gather(*dying)


async def _bury(pid: int, zygote: Zygote) -> None:
    await ended(zygote.pidfd)
    os.waitpid(pid, 0)  # noqa: ASYNC222  # it is dead
    os.close(zygote.pidfd)
    zygote.channel.close()


def _clone(profile: Profile, birth: Birth, theirs: socket.socket) -> int:
    pid = kernel.clone(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    if pid == 0:
        try:
            _become(profile, birth, theirs)
        except BaseException as error:  # noqa: BLE001
            with suppress(OSError):
                wire.send(
                    theirs,
                    {
                        "is": "fault",
                        "why": f"{type(error).__name__}: {error}",
                        "call": getattr(error, "filename", None),
                    },
                )
        finally:
            os._exit(1)
    return pid


def _become(profile: Profile, birth: Birth, theirs: socket.socket) -> None:
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(_MORE_LIKELY_KILLED)
    enter(profile.image, birth.scratch)
    kernel.lock_capabilities()
    if birth.may_change_user:
        os.setgroups([])
        os.setresgid(birth.user, birth.user, birth.user)
        os.setresuid(birth.user, birth.user, birth.user)
    kernel.clear_capabilities()
    inner = profile.image
    paths = f"sys.path[:0] = [{CODE!r}]; sys.path += {inner.search_path!r}"
    code = f"import sys; {paths}; from inside.zygote import start; start()"
    counted = "counted" if birth.counted else "uncounted"
    os.set_inheritable(theirs.fileno(), True)
    os.execve(  # noqa: S606
        inner.inner_executable,
        [
            *("python", "-I", "-S", "-B", "-c", code),
            *(str(theirs.fileno()), counted, ",".join(profile.preload), ",".join(birth.without)),
        ],
        environment(inner),
    )


def environment(image: Image) -> dict[str, str]:
    """A program's, too."""
    found = {
        "PATH": f"{os.path.dirname(image.inner_executable)}:/usr/local/bin:/usr/bin:/bin",
        "HOME": WORK,
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **_ONE_THREAD,
    }
    if image.packages:
        found["PYTHONPATH"] = ":".join(image.search_path)
    if image.inner_prefix != image.prefix:
        found["LD_LIBRARY_PATH"] = f"{image.inner_prefix}/lib"
    return found
