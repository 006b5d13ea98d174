"""One job, from its birth in the zygote to the user's code.

Two processes. PID 1 is cloned into new namespaces, where it can do nothing until it has been put into its cgroup and
told who it is. It prepares the place, gives up all that it could do, and forks the program, whose end it reports on a
socket that the program does not have. When PID 1 ends, the kernel kills whatever else is in there, so a program is
over when its first process is over, whoever still holds its pipes.
"""

import json
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from . import kernel, landlock, program, seccomp, wire
from .kernel import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT

USER = 1000
"""Who a program is, in its own namespace. Outside it is somebody whom nothing belongs to."""
_APART = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_READABLE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/python", "/packages", "/etc", "/sys")
_READABLE_TOO = ("/proc", "/dev", "/mnt")
_WRITABLE = (program.WORK, "/tmp", "/dev/shm", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_OPEN_FILES = 1024
_STACK_BYTES = 8 * 2**20
_LOCKED_BYTES = 0


@dataclass(frozen=True)
class Told:
    """What the daemon says about a job when it is born."""

    up: socket.socket
    program: int
    streams: tuple[int, int, int]
    without: frozenset[str]
    counted: bool
    """Whether a cgroup counts its memory and processes."""


def start(told: Told, orders: socket.socket) -> None:
    """Clone its PID 1, which has nothing of the socket that its parent hears `orders` on."""
    try:
        pid = kernel.clone(_APART | (0 if "network" in told.without else kernel.CLONE_NEWNET))
    except OSError as error:
        return _fault(told.up, error)
    if pid == 0:
        orders.close()
        _lead_apart(told)
    return None


def _lead_apart(told: Told) -> NoReturn:
    """As PID 1 of namespaces in which nothing is as it must be yet."""
    try:
        wire.send(told.up, {"is": "born"})
        _wait_for(told.up, "mapped")
        kernel.unshare(kernel.CLONE_NEWCGROUP)  # it has joined its own by now
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        given = json.loads(wire.content_of(told.program))
        _mount_scratch(given["limits"])
        _forbid_namespaces()
        _mount_proc()
        socket.sethostname("sandbox")
    except BaseException as error:  # noqa: BLE001  # there is nobody above to hear of it
        _fault(told.up, error)
        os._exit(0)
    lead(told, given, _seal)


def _mount_scratch(limits: dict[str, Any]) -> None:
    flags = MS_NOSUID | MS_NODEV
    disk = f"size={limits['disk_bytes']},nr_inodes={limits['files']}"
    kernel.mount("tmpfs", program.WORK, "tmpfs", flags, f"mode=755,{disk}")
    kernel.mount("tmpfs", "/tmp", "tmpfs", flags, f"mode=1777,{disk}")
    shared = f"size={limits['memory_bytes'] // 2},nr_inodes={limits['files']}"
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", flags | MS_NOEXEC, f"mode=1777,{shared}")
    kernel.mount("tmpfs", "/mnt", "tmpfs", flags | MS_NOEXEC, "mode=755,size=64k")


def _forbid_namespaces() -> None:
    """No user namespace below this one, whatever becomes of the filter."""
    with open("/proc/sys/user/max_user_namespaces", "w") as limit:
        limit.write("0")


def lead(told: Told, given: dict[str, Any], seal: Callable[[], None]) -> NoReturn:
    """As PID 1 of a place that is ready, to the end of the program. `seal` is called when all is handed in."""
    try:
        for number in signal.valid_signals():
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)  # the kernel lets no default action reach PID 1 from inside
        work = os.open(program.WORK, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        wire.send(told.up, {"is": "ready"}, [work])
        os.close(work)
        _furnish(told.up, given)
        seal()
        _give_up(told, given["limits"])
        pid = os.fork()
        if pid == 0:
            _become(told, given)
        _watch(told, pid)
    except BaseException as error:  # noqa: BLE001
        _fault(told.up, error)
    os._exit(0)


def _seal() -> None:
    kernel.mount("", "/mnt", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _mount_proc() -> None:
    """Of its own processes only. Where that cannot be had, an empty folder: never the one underneath."""
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    try:
        kernel.mount("proc", "/proc", "proc", flags, "subset=pid")
    except OSError:
        kernel.mount("tmpfs", "/proc", "tmpfs", flags | MS_RDONLY, "size=4k,mode=555")


def _furnish(up: socket.socket, given: dict[str, Any]) -> None:
    """Take what the daemon hands over until it says go."""
    with open(program.SCRIPT, "w", encoding="utf-8", errors="surrogatepass") as script:
        script.write(given["code"])
    while (message := wire.receive(up)) is not None:
        if message.body["is"] == "go":
            return
        for name, held in zip(message.body["names"], message.descriptors, strict=True):
            if message.body["is"] == "files":
                _copy(held, f"{program.WORK}/{name}")
            else:
                _attach(held, f"/mnt/{name}")
            os.close(held)
        wire.send(up, {"is": "taken"})
    os._exit(0)


def _attach(tree: int, target: str) -> None:
    """Behind an overlay, like the rest of the root, so that nobody reads where it comes from."""
    os.chdir("/mnt")
    for folder in (target, ".below", ".above"):
        os.makedirs(folder, exist_ok=True)
    kernel.attach(tree, "/mnt/.below")
    kernel.mount("overlay", target, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, "lowerdir=.above:.below")
    kernel.unmount("/mnt/.below")
    os.rmdir(".below")


def _copy(source: int, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as target:
        while os.sendfile(target.fileno(), source, None, 2**24):
            pass


def _give_up(told: Told, limits: dict[str, Any]) -> None:
    with suppress(OSError):  # over the quota of keyrings it keeps the zygote's, which is empty
        kernel.new_session_keyring()
    _limit_resources(limits, told.counted)
    if "capabilities" not in told.without:
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _limit_resources(limits: dict[str, Any], counted: bool) -> None:
    hard = {
        # One byte, not none: a core that goes to a program of the host passes a limit of none, and stops at one.
        resource.RLIMIT_CORE: 1,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: limits["processes"] + 1,
        resource.RLIMIT_FSIZE: limits["memory_bytes"],
        resource.RLIMIT_STACK: _STACK_BYTES,
        resource.RLIMIT_MEMLOCK: _LOCKED_BYTES,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_SIGPENDING: 1024,
    }
    if not counted:
        hard[resource.RLIMIT_DATA] = limits["memory_bytes"]
    for which, value in hard.items():
        ceiling = resource.getrlimit(which)[1]
        allowed = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(which, (allowed, allowed))


def _watch(told: Told, pid: int) -> None:
    """Until the program is over. Takes in orphans, so that none stays a zombie."""
    for held in (*told.streams, told.program):
        os.close(held)
    while True:
        ended, status, _ = os.wait3(0)
        if ended == pid:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = used.ru_utime + used.ru_stime
            wire.send(told.up, {"is": "over", "status": status, "cpu_s": cpu, "peak_bytes": used.ru_maxrss * 1024})
            return


def _become(told: Told, given: dict[str, Any]) -> NoReturn:
    """The program's first process."""
    os.setsid()
    for target, held in enumerate(told.streams):
        os.dup2(held, target)
    kernel.call("close_range", 3, 0xFFFFFFFF, 0)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # it may read its own /proc/self
    os.chdir(program.WORK)
    program.prepare(given["argv"])
    if "landlock" not in told.without and landlock.abi():
        readable = [path for path in (*_READABLE, *_READABLE_TOO) if os.path.exists(path)]
        landlock.restrict(readable, _WRITABLE)
    if "seccomp" not in told.without:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.install(seccomp.program(memfd=told.counted))
    program.run(given["code"])


def _wait_for(up: socket.socket, word: str) -> None:
    message = wire.receive(up)
    if message is None or message.body["is"] != word:
        os._exit(0)


def _fault(up: socket.socket, error: BaseException) -> None:
    with suppress(OSError):
        wire.send(up, {"is": "fault", "why": f"{type(error).__name__}: {error}"})
