"""Files that come in parts over hours, through connections that break: kept in a folder until they are whole.

A part is where the last one ended, so the size of the file is how far it is. One lock per file keeps two connections
of one client from writing at once, also in two processes that share the folder.
"""

import asyncio
import fcntl
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

KEPT_S = 24 * 3600.0
"""How long an unfinished file waits for its next part."""


@dataclass(frozen=True)
class Partial:
    id: str
    principal: str
    length: int
    """Of the whole file, in bytes."""
    metadata: dict[str, str]
    sha256: str | None = None
    """Of the blob that it has become."""


class Busy(Exception):
    """Another connection writes to this file."""


class PartialFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, principal: str, length: int, metadata: dict[str, str]) -> Partial:
        found = Partial(uuid4().hex, principal, length, metadata)
        self.content(found).parent.mkdir(parents=True)
        self.content(found).touch()
        self._note(found)
        return found

    def find(self, id: str, principal: str) -> Partial | None:
        try:
            found = Partial(**json.loads((self._folder / id / "about.json").read_text()))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return found if found.principal == principal else None

    def offset(self, partial: Partial) -> int:
        return partial.length if partial.sha256 else self.content(partial).stat().st_size

    def became(self, partial: Partial, sha256: str) -> None:
        """The bytes are kept elsewhere now. What it was stays known, for whoever asks again."""
        self._note(replace(partial, sha256=sha256))
        self.content(partial).unlink(missing_ok=True)

    def content(self, partial: Partial) -> Path:
        return self._folder / partial.id / "bytes"

    @asynccontextmanager
    async def appending(self, partial: Partial) -> AsyncIterator["Appending"]:
        """Raises Busy."""
        with self.content(partial).open("ab") as file, _locked(file.fileno()):
            yield Appending(file, partial.length)

    def remove(self, id: str) -> None:
        shutil.rmtree(self._folder / id, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what nobody has added to for a day; returns how many files that were."""
        old = [place for place in self._folder.glob("*") if time.time() - _changed_at(place) > KEPT_S]
        for place in old:
            self.remove(place.name)
        return len(old)

    def _note(self, partial: Partial) -> None:
        draft = self.content(partial).with_name("about.new")
        draft.write_text(json.dumps(asdict(partial)))
        draft.replace(draft.with_name("about.json"))


class Appending:
    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._length = file, length

    @property
    def offset(self) -> int:
        return self._file.tell()

    async def write(self, chunk: bytes) -> None:
        """Raises ValueError for bytes beyond the length that was declared."""
        if self.offset + len(chunk) > self._length:
            raise ValueError(f"more than the {self._length:,} bytes that Upload-Length declared")
        await asyncio.to_thread(self._file.write, chunk)


def _changed_at(place: Path) -> float:
    return max((file.stat().st_mtime for file in place.glob("*")), default=0.0)


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy from None
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
