"""Blobs as files, for handlers in child processes, which have no event loop."""

import asyncio
from pathlib import Path

from schemas.files import StoredFile
from storage.blob_writers import blob_path
from storage.blobs import BlobStore
from storage.settings import StorageSettings


def fetched(stored: StoredFile, folder: Path) -> Path:
    """The bytes as a file, to be read only. Raises BlobMissing, BlobUnavailable."""
    store = BlobStore(StorageSettings().blobs)
    return asyncio.run(store.file(blob_path(stored.sha256), stored.sha256, folder))


def kept(path: Path) -> StoredFile:
    """Put a file into the blob store. Raises BlobUnavailable."""
    written = asyncio.run(BlobStore(StorageSettings().blobs).put_file(path))
    return StoredFile(sha256=written.sha256, bytes=written.bytes)
