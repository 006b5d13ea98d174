"""Counting and bounding what a job uses, by the kernel: cgroup v2 where it is delegated to us, the v1 controllers
where the host still has them, and nothing where neither can be written.

Attaching is done from outside, while the job's PID 1 waits for it. A group that runs out of memory is killed as a
whole.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_PERIOD_US = 100_000
_PREFIX = "millrace-"


@dataclass(frozen=True)
class Counted:
    cpu_s: float
    peak_bytes: int
    out_of_memory: bool


class Group(Protocol):
    """One job's."""

    def attach(self, pid: int) -> None: ...
    def follow(self, pid: int, out_of_memory: Callable[[], None]) -> None: ...
    def kill(self) -> None: ...
    def counted(self) -> Counted: ...
    def close(self) -> None: ...


class Groups(Protocol):
    kind: str

    def open(self, name: str, limits: Mapping[str, Any]) -> Group: ...
    def close(self) -> None: ...


def find() -> Groups | None:
    """The best that can be had here; None when no cgroup can be made."""
    for kind in (V2Groups, V1Groups):
        with suppress(OSError, LookupError):
            return kind()
    return None


class V2Groups:
    kind = "cgroup v2"

    def __init__(self) -> None:
        self._left: list[Path] = []
        own = _mounted("cgroup2", "") / _own_path("").lstrip("/")
        controllers = (own / "cgroup.controllers").read_text().split()
        if not {"memory", "pids"} <= set(controllers):
            raise LookupError("memory and pids are not delegated")
        self._make_room(own)
        wanted = [name for name in ("memory", "pids", "cpu") if name in controllers]
        (own / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))
        _sweep(own)
        self._base = own / f"{_PREFIX}{os.getpid()}"
        self._base.mkdir()
        (self._base / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))

    @staticmethod
    def _make_room(own: Path) -> None:
        """A group that has members cannot give its controllers to children, so its members move into one."""
        leaf = own / f"{_PREFIX}members"
        if pids := (own / "cgroup.procs").read_text().split():
            leaf.mkdir(exist_ok=True)
            for pid in pids:
                with suppress(ProcessLookupError):
                    (leaf / "cgroup.procs").write_text(pid)

    def open(self, name: str, limits: Mapping[str, Any]) -> Group:
        return _V2Group(self._base / name, limits, self._left)

    def close(self) -> None:
        _remove_all(self._left, [self._base])


class _V2Group:
    def __init__(self, path: Path, limits: Mapping[str, Any], left: list[Path]) -> None:
        path.mkdir()
        self._path = path
        self._left = left
        (path / "memory.max").write_text(str(limits["memory_bytes"]))
        (path / "memory.oom.group").write_text("1")
        (path / "pids.max").write_text(str(limits["processes"] + 1))
        with suppress(FileNotFoundError):
            (path / "memory.swap.max").write_text("0")
        with suppress(FileNotFoundError):
            (path / "cpu.max").write_text(f"{int(limits['cpus'] * _PERIOD_US)} {_PERIOD_US}")

    def attach(self, pid: int) -> None:
        (self._path / "cgroup.procs").write_text(str(pid))

    def follow(self, pid: int, out_of_memory: Callable[[], None]) -> None:
        """The kernel kills the whole group by itself."""

    def kill(self) -> None:
        """All at once, because PID 1 would wait for its turn among those that it is to take along; and dying takes
        processor time, too."""
        with suppress(OSError):
            (self._path / "cgroup.kill").write_text("1")
        with suppress(OSError):
            (self._path / "cpu.max").write_text("max")
            (self._path / "cpu.weight").write_text("10000")

    def counted(self) -> Counted:
        events = _table(self._path / "memory.events")
        peak = self._path / "memory.peak"
        return Counted(
            cpu_s=_table(self._path / "cpu.stat")["usage_usec"] / 1e6,
            peak_bytes=int(peak.read_text()) if peak.exists() else 0,
            out_of_memory=events.get("oom_kill", 0) > 0,
        )

    def close(self) -> None:
        self.kill()
        _remove(self._path, self._left)


_V1 = ("memory", "pids", "cpu", "cpuacct")


class V1Groups:
    kind = "cgroup v1"

    def __init__(self) -> None:
        self._left: list[Path] = []
        self._bases: dict[str, Path] = {}
        for name in _V1:
            with suppress(LookupError):
                self._bases[name] = _mounted("cgroup", name) / _own_path(name).lstrip("/")
        if not {"memory", "pids"} <= self._bases.keys():
            raise LookupError("no memory or pids controller")
        for name, own in self._bases.items():
            _sweep(own)
            self._bases[name] = own / f"{_PREFIX}{os.getpid()}"
        for base in set(self._bases.values()):
            base.mkdir()

    def open(self, name: str, limits: Mapping[str, Any]) -> Group:
        return _V1Group({kind: base / name for kind, base in self._bases.items()}, limits, self._left)

    def close(self) -> None:
        _remove_all(self._left, set(self._bases.values()))


class _V1Group:
    def __init__(self, paths: Mapping[str, Path], limits: Mapping[str, Any], left: list[Path]) -> None:
        self._paths = paths
        self._left = left
        for path in set(paths.values()):
            path.mkdir()
        memory = paths["memory"]
        (memory / "memory.limit_in_bytes").write_text(str(limits["memory_bytes"]))
        with suppress(OSError):  # no accounting of swap
            (memory / "memory.memsw.limit_in_bytes").write_text(str(limits["memory_bytes"]))
        (paths["pids"] / "pids.max").write_text(str(limits["processes"] + 1))
        if "cpu" in paths:
            with suppress(OSError):
                (paths["cpu"] / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (paths["cpu"] / "cpu.cfs_quota_us").write_text(str(int(limits["cpus"] * _PERIOD_US)))
        self._event: int | None = None

    def attach(self, pid: int) -> None:
        for path in set(self._paths.values()):
            (path / "cgroup.procs").write_text(str(pid))

    def follow(self, pid: int, out_of_memory: Callable[[], None]) -> None:  # noqa: ARG002  # the group is known
        memory = self._paths["memory"]
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        watched = os.open(memory / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            (memory / "cgroup.event_control").write_text(f"{self._event} {watched}")
        finally:
            os.close(watched)
        asyncio.get_running_loop().add_reader(self._event, _told, self._event, out_of_memory)

    def kill(self) -> None:
        """As with version 2, one by one: whoever is forked meanwhile is PID 1's to take along."""
        self._kill_members()
        with suppress(OSError, KeyError):
            (self._paths["cpu"] / "cpu.cfs_quota_us").write_text("-1")
            (self._paths["cpu"] / "cpu.shares").write_text("262144")

    def counted(self) -> Counted:
        memory = self._paths["memory"]
        used = self._paths.get("cpuacct")
        return Counted(
            cpu_s=int((used / "cpuacct.usage").read_text()) / 1e9 if used else 0.0,
            peak_bytes=int((memory / "memory.max_usage_in_bytes").read_text()),
            out_of_memory=_table(memory / "memory.oom_control").get("oom_kill", 0) > 0,
        )

    def close(self) -> None:
        if self._event is not None:
            asyncio.get_running_loop().remove_reader(self._event)
            os.close(self._event)
            self._event = None
        self._kill_members()
        for path in set(self._paths.values()):
            _remove(path, self._left)

    def _kill_members(self) -> None:
        for pid in (self._paths["pids"] / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _told(event: int, call: Callable[[], None]) -> None:
    with suppress(BlockingIOError):
        os.eventfd_read(event)
        call()


def _mounted(kind: str, controller: str) -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, found, options, *_ = line.split()
        if found == kind and (not controller or controller in options.split(",")):
            return Path(where)
    raise LookupError(f"no {kind} {controller} is mounted")


def _own_path(controller: str) -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (controller or controllers == ""):
            return path
    raise LookupError(f"this process is in no group of {controller or 'cgroup v2'}")


def _table(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2}


def _sweep(folder: Path) -> None:
    """What a daemon that was killed has left."""
    for left in folder.glob(f"{_PREFIX}[0-9]*"):
        if not Path("/proc", left.name.removeprefix(_PREFIX)).exists():
            for group in (*left.iterdir(), left):
                if group.is_dir():
                    with suppress(OSError):
                        group.rmdir()


def _remove(path: Path, left: list[Path]) -> None:
    """A group is removable when its last process is gone, which the kernel may notice after we do: then it is
    `left`, and the next to be removed takes it along."""
    left.append(path)
    for waiting in tuple(left):
        with suppress(OSError):
            if waiting.exists():
                waiting.rmdir()
            left.remove(waiting)


def _remove_all(left: list[Path], bases: Iterable[Path]) -> None:
    """At the end there is nobody who would take them along, so wait for them."""
    for patience_s in (0, 0.001, 0.005, 0.02, 0.1, 0.5):
        time.sleep(patience_s)
        for path in (*left, *bases):
            with suppress(OSError):
                path.rmdir()
