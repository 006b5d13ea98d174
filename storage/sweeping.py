"""Removing blobs that nothing names, and what unfinished uploads left behind.

First the old blobs are listed, then those are struck off that a document names, and of the rest each is looked at
once more before it goes. Whoever stores the same bytes again meanwhile makes the blob young, and keeps it. The age
covers what is named nowhere yet: an upload whose command waits in the broker, a file of a job whose outcome is on its
way.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.blob_writers import BLOBS, UPLOADS
from storage.blobs import BlobStore
from storage.database import Database
from storage.references import named

ABANDONED_AFTER = timedelta(days=1)
"""From the last part of an upload on; what is uploading is written to all the time."""


@dataclass(frozen=True)
class Swept:
    blobs: int
    bytes: int


async def sweep(
    database: Database, blobs: BlobStore, cataloged: Collection[str], unnamed_for: timedelta, now: datetime
) -> Swept:
    """Raises StoreUnavailable, BlobUnavailable; then what is left is for the next time."""
    old = {found.path: found async for found in blobs.older(BLOBS, now - unnamed_for)}
    path_of = {path.rpartition("/")[2]: path for path in old}
    async for digests in named(database, cataloged):
        for digest in digests & path_of.keys():
            del old[path_of.pop(digest)]
    abandoned = [found async for found in blobs.older(UPLOADS, now - ABANDONED_AFTER)]
    removed = [found for found in old.values() if await blobs.remove(found.path, now - unnamed_for)]
    removed += [found for found in abandoned if await blobs.remove(found.path, now - ABANDONED_AFTER)]
    return Swept(len(removed), sum(found.bytes for found in removed))
