"""Immutable bytes addressed by their sha256, in a local directory or an S3-compatible bucket (obstore)."""

import asyncio
import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, from_url


class BlobUnavailable(Exception):
    """The blob store does not answer."""


class BlobMissing(Exception):
    """No such blob, or other bytes than its digest says."""


class BlobStore:
    def __init__(self, url: str) -> None:
        self._folder = _folder(url)
        self._store = from_url(url) if self._folder is None else LocalStore(prefix=self._folder)

    async def put(self, content: bytes) -> tuple[str, str]:
        """Store `content` once; returns (path, sha256 in hex). Raises BlobUnavailable."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = f"sha256/{sha256[:2]}/{sha256}"
        try:
            await obstore.put_async(self._store, path, content)
            if self._folder is not None:
                await asyncio.to_thread(_sync, self._folder / path)
        except (BaseError, OSError) as error:
            raise BlobUnavailable(f"cannot store {path}: {error}") from error
        return path, sha256

    async def get(self, path: str, sha256: str) -> bytes:
        """Raises BlobMissing or BlobUnavailable."""
        try:
            found = await obstore.get_async(self._store, path)
            content = bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError, ValueError) as error:  # the last: `../x`
            raise BlobMissing(f"no blob at {path}") from error
        except (BaseError, OSError) as error:
            raise BlobUnavailable(f"cannot read {path}: {error}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BlobMissing(f"the blob at {path} is not the one with sha256 {sha256}")
        return content


def _folder(url: str) -> Path | None:
    """The directory of a `file:` URL, made when it is missing; None for a bucket."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    folder = Path(url2pathname(parts.path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sync(path: Path) -> None:
    """Onto the disk, with the name that leads to it: obstore leaves that to the kernel, and the broker's confirm of a
    claim check must not outlive the bytes in a power cut."""
    for part in (path, *path.parents[:3]):
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
