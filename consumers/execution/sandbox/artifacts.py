"""Taking what a program left in /work, when all its processes are dead.

Nothing is followed and nothing is interpreted: regular files with a single name, under names that can be written
anywhere, copied through descriptors. The rest is refused, with the reason.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from consumers.execution.sandbox.ports import Artifact

MOST_FILES = 256
MOST_DEPTH = 16
MOST_LOOKED_AT = 10_000
"""Entries. A program may leave as many as it has inodes."""
MOST_REFUSALS = 100
_LONGEST_NAME = 200  # bytes; a file system's 255 leave no room for what others append
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 2**22


@dataclass
class _Walk:
    given: frozenset[str]
    """What was put there before the program started, and stays out when it is still the same."""
    target: Path
    bytes_left: int
    taken: list[Artifact] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    looked_at: int = 0

    def refuse(self, name: str, why: str) -> None:
        if len(self.refused) < MOST_REFUSALS:
            self.refused.append(f"{name}: {why}")


def take(work: int, target: Path, given: frozenset[str], most_bytes: int) -> tuple[list[Artifact], list[str]]:
    """What is in the folder behind the descriptor `work`, and what was refused. `target` is an empty folder; files
    there are numbered, so that no name of the program's becomes a path."""
    walk = _Walk(given, target, most_bytes)
    _folder(walk, work, ())
    return walk.taken, walk.refused


def _folder(walk: _Walk, held: int, path: tuple[str, ...]) -> None:
    for name in _names(walk, held, path):
        if walk.looked_at >= MOST_LOOKED_AT:
            walk.refuse("/".join(path) or ".", f"more than {MOST_LOOKED_AT:,} entries")
            return
        walk.looked_at += 1
        shown = "/".join((*path, _shown(name)))
        if (why := _unfit(name)) is not None:
            walk.refuse(shown, why)
            continue
        status = os.stat(name, dir_fd=held, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            _deeper(walk, held, (*path, name))
        elif (why := _irregular(status)) is not None:
            walk.refuse(shown, why)
        elif shown not in walk.given:
            _file(walk, held, name, shown)


def _names(walk: _Walk, held: int, path: tuple[str, ...]) -> Iterator[str]:
    """In an order that does not depend on the file system, where there are not too many."""
    with os.scandir(held) as listing:
        names = []
        for entry in listing:
            names.append(entry.name)
            if len(names) > MOST_LOOKED_AT:
                walk.refuse("/".join(path) or ".", f"more than {MOST_LOOKED_AT:,} entries")
                break
    return iter(sorted(names[:MOST_LOOKED_AT]))


def _deeper(walk: _Walk, held: int, path: tuple[str, ...]) -> None:
    if len(path) > MOST_DEPTH:
        walk.refuse("/".join(path), f"deeper than {MOST_DEPTH} folders")
        return
    try:
        below = os.open(path[-1], _OPEN_FOLDER, dir_fd=held)
    except OSError as error:
        walk.refuse("/".join(path), error.strerror or "cannot be opened")
        return
    try:
        _folder(walk, below, path)
    finally:
        os.close(below)


def _file(walk: _Walk, held: int, name: str, shown: str) -> None:
    if len(walk.taken) >= MOST_FILES:
        walk.refuse(shown, f"more than {MOST_FILES} files")
        return
    try:
        source = os.open(name, _OPEN_FILE, dir_fd=held)
    except OSError as error:
        walk.refuse(shown, error.strerror or "cannot be opened")
        return
    try:
        size = os.fstat(source).st_size
        if size > walk.bytes_left:
            walk.refuse(shown, f"{size:,} bytes, and there is room for {walk.bytes_left:,}")
            return
        kept = walk.target / f"{len(walk.taken):04}"
        with kept.open("xb") as copy:
            while os.sendfile(copy.fileno(), source, None, _PIECE):
                pass
        walk.bytes_left -= size
        walk.taken.append(Artifact(shown, kept, size))
    finally:
        os.close(source)


def _irregular(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return f"not a regular file ({stat.filemode(status.st_mode)[0]})"
    if status.st_nlink != 1:
        return f"a file with {status.st_nlink} names"
    if not status.st_mode & stat.S_IRUSR:
        return "not readable by its owner"
    return None


def _unfit(name: str) -> str | None:
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        return "a name that is not UTF-8"
    if not name.isprintable() or "\\" in name or name.startswith((" ", "~", "-")):
        return "a name that others could misread"
    if len(name.encode()) > _LONGEST_NAME:
        return f"a name of more than {_LONGEST_NAME} bytes"
    return None


def _shown(name: str) -> str:
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in shown)[:_LONGEST_NAME]
