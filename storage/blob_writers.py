"""Blobs that are too large for memory: hashed while they are written, named by their digest when they are whole."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import obstore
from obstore.exceptions import NotFoundError

from storage.disk import sync

BLOBS, UPLOADS = "sha256", "uploads"
"""Where blobs lie, and what is not finished yet."""
_PART_BYTES = 8 * 1024 * 1024  # of a multipart upload to a bucket; S3 allows 10,000 of at least 5 MiB


@dataclass(frozen=True)
class Written:
    path: str
    sha256: str
    bytes: int


class Target(Protocol):
    """Where one blob is written to until its name is known."""

    async def write(self, chunk: bytes) -> None: ...

    async def keep(self, path: str) -> None:
        """Make it whole under this name, on disk."""

    async def drop(self) -> None:
        """Leave nothing behind. Called after a failure, and harmless after `keep`."""


class BlobWriter:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self.bytes = 0

    async def write(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        self._buffer += chunk
        if len(self._buffer) >= _PART_BYTES // 8:
            await self._flush()

    async def finish(self) -> Written:
        await self._flush()
        sha256 = self._digest.hexdigest()
        path = blob_path(sha256)
        await self._target.keep(path)
        return Written(path, sha256, self.bytes)

    async def _flush(self) -> None:
        chunk, self._buffer = bytes(self._buffer), bytearray()
        await asyncio.to_thread(self._digest.update, chunk)
        await self._target.write(chunk)


class FileTarget:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        uploads = folder / UPLOADS
        uploads.mkdir(exist_ok=True)
        self._path = uploads / uuid4().hex
        self._file = self._path.open("xb")

    async def write(self, chunk: bytes) -> None:
        await asyncio.to_thread(self._file.write, chunk)

    async def keep(self, path: str) -> None:
        self._file.close()
        await asyncio.to_thread(self._move, self._folder / path)

    async def drop(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _move(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(target)
        sync(target)


class BucketTarget:
    def __init__(self, store: Any) -> None:
        self._store, self._path = store, f"{UPLOADS}/{uuid4().hex}"
        self._writer: Any = obstore.open_writer_async(store, self._path, buffer_size=_PART_BYTES)

    async def write(self, chunk: bytes) -> None:
        await self._writer.write(chunk)

    async def keep(self, path: str) -> None:
        await self._writer.close()
        await obstore.rename_async(self._store, self._path, path)

    async def drop(self) -> None:
        """Parts of an unfinished upload are the bucket's to expire: no client can end them by our name."""
        with suppress(NotFoundError, FileNotFoundError):
            await obstore.delete_async(self._store, self._path)


def blob_path(sha256: str) -> str:
    return f"{BLOBS}/{sha256[:2]}/{sha256}"
