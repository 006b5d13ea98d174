"""What the execution pool asks of a sandbox, and what it is told afterwards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from schemas.execution import Ending, Packages, Stream, Usage


class Tier(StrEnum):
    """How strong the walls are, strongest first. See docs/security.md."""

    A_PLUS = "A+"
    A = "A"
    A_MINUS = "A-"
    B = "B"


@dataclass(frozen=True)
class Limits:
    wall_s: float
    memory_bytes: int
    processes: int
    output_bytes: int
    """Of each of the two streams; a job that writes more is killed."""
    disk_bytes: int
    """Of /work, and of /tmp, each."""
    files: int
    """Inodes, likewise."""


@dataclass(frozen=True)
class Program:
    code: str
    """Run as `main.py` in the working directory, /work."""
    packages: Packages
    limits: Limits
    stdin: bytes = b""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Copied to /work under these relative names before the program starts."""
    mounts: Mapping[str, Path] = field(default_factory=dict)
    """Directories seen read-only under `/mnt/<name>`."""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class Artifact:
    name: str
    """Relative to /work, with `/` between folders."""
    path: Path
    """The bytes, in the folder that the caller gave; nobody else writes there any more."""
    bytes: int


@dataclass(frozen=True)
class Ended:
    """How a program ended. Never an error of ours: those are exceptions."""

    ending: Ending
    exit_code: int | None
    signal: int | None
    usage: Usage
    artifacts: tuple[Artifact, ...] = ()
    refused: tuple[str, ...] = ()
    """What lay in /work and was not taken, each with the reason."""


class SandboxUnavailable(Exception):
    """No tier holds on this host. Says what is missing and the remedy."""


class Sandbox(Protocol):
    @property
    def tier(self) -> Tier: ...

    async def run(self, program: Program, artifacts: Path, output: Callable[[Stream, bytes], None]) -> Ended:
        """Run `program` to its end; `output` is called with each piece as it comes, within the limit. Artifacts are
        put into the empty folder `artifacts`. Cancelling the call kills the program and everything it started before
        the cancellation goes on. Raises SandboxUnavailable, and SandboxFault for faults of our own, which may be
        tried again."""


class SandboxFault(Exception):
    """The sandbox broke down; whatever the program was is not to blame. Nothing of it is left."""
