"""The logs of all processes as one: aligned, and coloured where somebody watches."""

import re
from collections.abc import Iterable
from pathlib import Path

from millrace.stack.process import tail

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of the ANSI palette, without red, which means failure
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")  # RabbitMQ colours its banner whether or not anybody watches
_LARGEST = 64 * 1024 * 1024


class LogFollower:
    """Reads what was appended to the logs since it looked last."""

    def __init__(self, *, from_start: bool = True) -> None:
        self._from_start = from_start
        self._positions: dict[Path, int] = {}
        self._partial: dict[Path, bytes] = {}

    def poll(self, paths: Iterable[Path]) -> list[tuple[str, str]]:
        """Every new complete line with the name of its process."""
        return [(path.stem, line) for path in paths if path.exists() for line in self._read(path)]

    def _read(self, path: Path) -> list[str]:
        size = path.stat().st_size
        position = self._positions.setdefault(path, 0 if self._from_start else size)
        if size < position:  # cut by `trim`, or begun anew
            position = 0
        with path.open("rb") as log:
            log.seek(position)
            fresh = log.read()
        self._positions[path] = position + len(fresh)
        *lines, self._partial[path] = (self._partial.get(path, b"") + fresh).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


class LogPrinter:
    """Puts the name of the process before each line."""

    def __init__(self, names: Iterable[str], *, colour: bool) -> None:
        self._names = list(names)
        self._width = max(map(len, self._names), default=0)
        self._colour = colour

    def format(self, name: str, line: str) -> str:
        prefix = f"{name:<{self._width}} |"
        if not self._colour:
            return f"{prefix} {_ESCAPES.sub('', line)}"
        if name in self._names:
            prefix = f"\x1b[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{prefix}\x1b[0m"
        return f"{prefix} {line}"


def last_lines(path: Path, lines: int) -> list[tuple[str, str]]:
    return [(path.stem, line) for line in tail(path, lines).splitlines()]


def rotate(path: Path) -> None:
    """Begin a new log and keep one old one."""
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))


def trim(path: Path) -> None:
    """Keep a log that its process holds open from filling the disk. Processes append, so they go on at the top."""
    if path.exists() and path.stat().st_size > _LARGEST:
        path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
        with path.open("r+b") as log:
            log.truncate(0)
