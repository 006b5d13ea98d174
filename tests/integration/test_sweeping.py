"""Blobs that nothing names are removed when they are old, and nothing else ever is."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Binary

from producers.catalog import CATALOGED
from storage.blobs import BlobStore
from storage.database import Database, connect
from storage.settings import StorageSettings
from storage.sweeping import sweep
from tests.conftest import Deployment

WEEK = timedelta(days=7)
INGEST = "dataset.ingest"

Name = Callable[[str], tuple[str, dict[str, Any]]]


def document(fields: dict[str, Any]) -> dict[str, Any]:
    return {"_id": "naming", "number": 1, "dataset_id": "d", "status": "queued", "kind": INGEST, **fields}


NAMED: dict[str, Name] = {
    "a queued job's file": lambda sha: ("jobs", {"params": {"file": {"sha256": sha}}}),
    "a dead job's file": lambda sha: ("jobs", {"status": "dead", "params": {"file": {"sha256": sha}}}),
    "an ended job's claim": lambda sha: ("jobs", {"status": "succeeded", "result_claim": {"sha256": sha}}),
    "a result that no catalog keeps": lambda sha: (
        "jobs",
        {"kind": "code.run", "status": "succeeded", "result": {"artifacts": [{"sha256": sha}]}},
    ),
    "a checkpoint": lambda sha: ("leases", {"checkpoint": {"path": f"sha256/{sha[:2]}/{sha}"}}),
    "a lease's command": lambda sha: ("leases", {"body": Binary(f'{{"sha256":"{sha}"}}'.encode())}),
    "a dead letter": lambda sha: ("dead_letters", {"headers": {"mr-claim-sha256": sha}}),
    "a version": lambda sha: ("dataset_versions", {"ingested": {"table": {"sha256": sha}}}),
    "a profile": lambda sha: ("profiles", {"profiled": {"report": {"sha256": sha}}}),
}
UNNAMED: dict[str, Name] = {
    "nothing": lambda _: ("jobs", {}),
    "a result that the catalog has forgotten": lambda sha: (
        "jobs",
        {"status": "succeeded", "params": {"file": {"sha256": sha}}, "result": {"table": {"sha256": sha}}},
    ),
    "a longer text": lambda sha: ("profiles", {"profiled": {"name": f"0{sha}"}}),
}


async def swept(database: Database, blobs: BlobStore) -> tuple[int, int]:
    found = await sweep(database, blobs, CATALOGED, WEEK, datetime.now(UTC))
    return found.blobs, found.bytes


def age(path: Path, by: timedelta) -> None:
    at = (datetime.now(UTC) - by).timestamp()
    os.utime(path, (at, at))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.mark.parametrize(
    ("name", "kept"),
    [*((name, True) for name in NAMED.values()), *((name, False) for name in UNNAMED.values())],
    ids=[*NAMED, *UNNAMED],
)
async def test_old_blobs_stay_as_long_as_they_are_named(
    deployment: Deployment, folder: Path, name: Name, kept: bool
) -> None:
    blobs = BlobStore(folder.as_uri())
    path, sha256 = await blobs.put(b"content")
    age(folder / path, WEEK + timedelta(hours=1))
    collection, fields = name(sha256)
    async with connect(StorageSettings()) as database:
        await database[collection].insert_one(document(fields))
        assert await swept(database, blobs) == ((0, 0) if kept else (1, 7))
    assert (folder / path).exists() == kept


async def test_what_is_young_or_was_stored_again_stays(deployment: Deployment, folder: Path) -> None:
    blobs = BlobStore(folder.as_uri())
    path, _ = await blobs.put(b"content")
    async with connect(StorageSettings()) as database:
        assert await swept(database, blobs) == (0, 0)
        age(folder / path, WEEK * 2)
        listed = [found.path async for found in blobs.older("sha256", datetime.now(UTC) - WEEK)]
        assert listed == [path]
        await blobs.put(b"content")
        assert not await blobs.remove(path, datetime.now(UTC) - WEEK)
        assert await swept(database, blobs) == (0, 0)


async def test_what_a_killed_gateway_left_is_removed_after_a_day(deployment: Deployment, folder: Path) -> None:
    blobs = BlobStore(folder.as_uri())
    async with blobs.writing() as writer, connect(StorageSettings()) as database:
        await writer.write(b"x" * 2_000_000)
        (left,) = (folder / "uploads").iterdir()
        assert await swept(database, blobs) == (0, 0)
        age(left, timedelta(days=2))
        assert await swept(database, blobs) == (1, 2_000_000)
        assert not left.exists()
