"""Immutable bytes addressed by their sha256, in a local directory or an S3-compatible bucket (obstore)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store, from_url

from storage.blob_writers import UPLOADS, BlobWriter, BucketTarget, FileTarget, Written, blob_path
from storage.disk import sync

_CHUNK_BYTES = 1024 * 1024


class BlobUnavailable(Exception):
    """The blob store does not answer."""


class BlobMissing(Exception):
    """No such blob, or other bytes than its digest says."""


class NoDirectUpload(Exception):
    """Files reach this store only through us: it is a directory."""


class TooLarge(Exception):
    """The file has more bytes than are allowed."""


@dataclass(frozen=True)
class Stored:
    path: str
    bytes: int


class BlobStore:
    def __init__(self, url: str) -> None:
        self._folder = _folder(url)
        self._store = LocalStore(prefix=self._folder) if self._folder is not None else _bucket(url)

    async def put(self, content: bytes) -> tuple[str, str]:
        """Store `content` once; returns (path, sha256 in hex). Raises BlobUnavailable."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = blob_path(sha256)
        try:
            await obstore.put_async(self._store, path, content)
            if self._folder is not None:
                await asyncio.to_thread(sync, self._folder / path)
        except (BaseError, OSError) as error:
            raise BlobUnavailable(f"cannot store {path}: {error}") from error
        return path, sha256

    async def get(self, path: str, sha256: str) -> bytes:
        """Raises BlobMissing or BlobUnavailable."""
        with _read_errors(path):
            found = await obstore.get_async(self._store, path)
            content = bytes(await found.bytes_async())
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BlobMissing(f"the blob at {path} is not the one with sha256 {sha256}")
        return content

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[BlobWriter]:
        """For bytes that do not fit into memory. Nothing is left of a blob that is not finished. Raises
        BlobUnavailable."""
        try:
            target = BucketTarget(self._store) if self._folder is None else FileTarget(self._folder)
            try:
                yield BlobWriter(target)
            finally:
                await target.drop()
        except (BaseError, OSError) as error:
            raise BlobUnavailable(f"cannot store: {error}") from error

    async def put_file(self, path: Path) -> Written:
        """Raises BlobUnavailable."""
        async with self.writing() as writer:
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                    await writer.write(chunk)
            return await writer.finish()

    async def direct_url(self, name: str, expires_in: timedelta) -> str:
        """Where a client may `PUT` one file past us. Raises NoDirectUpload, BlobUnavailable."""
        if not isinstance(self._store, S3Store):
            raise NoDirectUpload
        with _read_errors(name):
            return await obstore.sign_async(self._store, "PUT", f"{UPLOADS}/{name}", expires_in)

    async def adopt(self, name: str, limit: int) -> Written:
        """Make what was put there a blob. It is hashed as a copy, which nobody can write to any more; what was put
        stays until it is swept, so that this may be asked again. Raises BlobMissing, TooLarge, BlobUnavailable."""
        given, own = f"{UPLOADS}/{name}", f"{UPLOADS}/{uuid4().hex}"
        with _read_errors(name):
            size = (await obstore.head_async(self._store, given))["size"]
            if size > limit:
                raise TooLarge
            await obstore.copy_async(self._store, given, own)
        digest = hashlib.sha256()
        async for chunk in await self.stream(own):
            await asyncio.to_thread(digest.update, chunk)
        sha256 = digest.hexdigest()
        with _read_errors(name):
            size = (await obstore.head_async(self._store, own))["size"]
            await obstore.rename_async(self._store, own, blob_path(sha256))
        return Written(blob_path(sha256), sha256, size)

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """The bytes in chunks, opened already. Raises BlobMissing or BlobUnavailable; the latter also on the way."""
        with _read_errors(path):
            found = await obstore.get_async(self._store, path)

        async def chunks() -> AsyncIterator[bytes]:
            with _read_errors(path):
                async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                    yield bytes(chunk)

        return chunks()

    async def older(self, folder: str, than: datetime) -> AsyncIterator[Stored]:
        """What was last written before. Raises BlobUnavailable."""
        with _read_errors(folder):
            async for found in obstore.list(self._store, folder):
                for meta in found:
                    if meta["last_modified"] < than:
                        yield Stored(meta["path"], meta["size"])

    async def remove(self, path: str, older_than: datetime) -> bool:
        """Unless it was written since. Who writes the same bytes within the milliseconds between our look and the
        removal loses them: no store that we know can do both at once. Raises BlobUnavailable."""
        try:
            with _read_errors(path):
                if (await obstore.head_async(self._store, path))["last_modified"] >= older_than:
                    return False
                await obstore.delete_async(self._store, path)
        except BlobMissing:
            return False
        return True

    async def file(self, path: str, sha256: str, folder: Path) -> Path:
        """A file with the bytes, to be read only: the store's own where it is a directory, else a copy in `folder`.
        Raises BlobMissing or BlobUnavailable."""
        if self._folder is not None:
            if not (self._folder / path).is_file():
                raise BlobMissing(f"no blob at {path}")
            return self._folder / path
        digest, copy = hashlib.sha256(), folder / sha256
        with copy.open("wb") as file:
            async for chunk in await self.stream(path):
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if digest.hexdigest() != sha256:
            raise BlobMissing(f"the blob at {path} is not the one with sha256 {sha256}")
        return copy


@contextmanager
def _read_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError, ValueError) as error:  # the last: `../x`
        raise BlobMissing(f"no blob at {path}") from error
    except (BaseError, OSError) as error:
        raise BlobUnavailable(f"cannot read {path}: {error}") from error


def _bucket(url: str) -> ObjectStore:
    """Retries shortly: whoever waits for longer has patience of its own."""
    return from_url(url, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=5)})


def _folder(url: str) -> Path | None:
    """The directory of a `file:` URL, made when it is missing; None for a bucket."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    folder = Path(url2pathname(parts.path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
