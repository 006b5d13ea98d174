"""What a running stack leaves in its data directory for `status`, `down`, the client and the next `up`."""

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

import psutil
from pydantic import BaseModel, ValidationError

from millrace.stack.process import Child, Identity, kill_marked

UnitState = Literal["waiting", "starting", "ready", "unhealthy", "restarting", "stopping", "stopped"]
StackPhase = Literal["starting", "ready", "stopping"]


class ChildRecord(BaseModel):
    """Enough to recognise a process later, and everything it started."""

    identity: Identity
    mark: str

    @classmethod
    def of(cls, child: Child) -> "ChildRecord | None":
        return cls(identity=child.identity, mark=child.mark) if child.identity else None


class UnitRecord(BaseModel):
    name: str
    url: str
    state: UnitState
    external: bool = False
    pid: int | None = None
    restarts: int = 0
    health_url: str | None = None
    management_url: str | None = None
    pools: tuple[str, ...] = ()
    children: tuple[ChildRecord, ...] = ()


class StackRecord(BaseModel):
    """The state file."""

    phase: StackPhase
    supervisor: Identity
    data_dir: Path
    api_url: str
    api_key: str | None = None
    environment: dict[str, str] = {}
    """Where the servers are, as every process of the stack is told."""
    gateway: UnitRecord | None = None
    pools: tuple[UnitRecord, ...] = ()
    services: tuple[UnitRecord, ...] = ()

    @property
    def alive(self) -> bool:
        return self.supervisor.find() is not None

    @property
    def units(self) -> tuple[UnitRecord, ...]:
        return (*self.services, *((self.gateway,) if self.gateway else ()), *self.pools)


def state_file(home: Path) -> Path:
    return home / "stack.json"


def read(home: Path) -> StackRecord | None:
    """The state of the last stack here that did not stop cleanly, running or not."""
    try:
        return StackRecord.model_validate_json(state_file(home).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write(home: Path, record: StackRecord) -> None:
    """Readers see the old state or the new one. It holds the API key: for the owner only."""
    home.mkdir(parents=True, exist_ok=True)
    draft = state_file(home).with_suffix(".new")
    with open(draft, "w", opener=_private) as file:
        file.write(record.model_dump_json(indent=2))
    draft.replace(state_file(home))


def remove(home: Path) -> None:
    state_file(home).unlink(missing_ok=True)


def lock(home: Path) -> IO[str] | None:
    """Become the only supervisor of this directory, until the file is closed or the process ends. None if taken."""
    home.mkdir(parents=True, exist_ok=True)
    file = (home / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


async def kill_leftovers(record: StackRecord) -> list[str]:
    """KILL what a dead supervisor left, and say what that was. Nothing is touched but the very processes of the
    record and those that carry their marks."""
    children = {child.mark: unit.name for unit in record.units for child in unit.children}
    found = []
    for unit in record.units:
        for child in unit.children:
            if process := child.identity.find():
                found.append(unit.name)
                _kill_group(process)
    await kill_marked(children.keys())
    return sorted(set(found))


def _kill_group(process: psutil.Process) -> None:
    with suppress(ProcessLookupError, psutil.Error):
        if os.getpgid(process.pid) == process.pid:  # each child leads the group that it was started in
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
