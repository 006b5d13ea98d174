"""One suite for both kinds of blob store: a directory, and a bucket behind a real S3 server process."""

import hashlib
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from millrace.stack.ports import free_port
from millrace.stack.process import Child
from storage.blob_writers import BLOBS, UPLOADS, blob_path
from storage.blobs import BlobMissing, BlobStore, BlobUnavailable, NoDirectUpload, Stored, TooLarge
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.waiting import eventually

CONTENT = bytes(range(256)) * 80_000  # 20 MB: more than one part of a multipart upload


@pytest.fixture(scope="module")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = Child("s3", command, log=tmp_path_factory.mktemp("s3") / "log", env=os.environ)
    url = f"http://127.0.0.1:{port}"
    server.start()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:

        async def serving() -> bool:
            try:
                return (await client.put("/blobs")).is_success
            except httpx.TransportError:
                return False

        await eventually(serving, within_s=60)
        yield url
    await server.stop(grace_s=5)


@pytest.fixture
def bucket(tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty one, which the environment lets us enter."""
    for name, value in {
        "AWS_ENDPOINT": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://blobs/{tmp_path.name}"


@pytest.fixture(params=["directory", "bucket"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> BlobStore:
    return BlobStore((tmp_path / "blobs").as_uri() if request.param == "directory" else bucket)


async def test_small_bytes_come_back(store: BlobStore) -> None:
    path, sha256 = await store.put(b"small")
    assert await store.get(path, sha256) == b"small"
    with pytest.raises(BlobMissing, match="not the one"):
        await store.get(path, "0" * 64)


async def test_a_file_of_many_parts_is_named_by_its_digest(store: BlobStore, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(CONTENT)
    first, second = await store.put_file(file), await store.put_file(file)
    assert first == second
    assert (first.path, first.bytes) == (blob_path(first.sha256), len(CONTENT))
    assert b"".join([chunk async for chunk in await store.stream(first.path)]) == CONTENT
    copy = await store.file(first.path, first.sha256, tmp_path)
    assert copy.read_bytes() == CONTENT


async def test_what_breaks_off_is_no_blob(store: BlobStore) -> None:
    async def broken() -> None:
        async with store.writing() as writer:
            await writer.write(CONTENT)
            raise RuntimeError("the client is gone")

    with pytest.raises(RuntimeError, match="gone"):
        await broken()


async def test_what_was_not_written_since_is_listed_and_removed(store: BlobStore) -> None:
    path, _ = await store.put(b"small")
    before, after = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    assert [found async for found in store.older(BLOBS, before)] == []
    assert [found async for found in store.older(BLOBS, after)] == [Stored(path, 5)]
    assert [found async for found in store.older(UPLOADS, after)] == []
    assert not await store.remove(path, before)
    assert await store.remove(path, after)
    assert not await store.remove(path, after)


async def test_what_is_not_there_is_missing(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(BlobMissing):
        await store.stream(blob_path("0" * 64))
    with pytest.raises(BlobMissing):
        await store.file(blob_path("0" * 64), "0" * 64, tmp_path)


async def test_a_bucket_that_is_away_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = BlobStore(f"s3://blobs/{tmp_path.name}")
    with pytest.raises(BlobUnavailable):
        await store.put(b"content")


async def test_a_file_is_put_past_us_and_becomes_a_blob(bucket: str) -> None:
    store = BlobStore(bucket)
    url = await store.direct_url("given", timedelta(minutes=1))
    with pytest.raises(BlobMissing):
        await store.adopt("given", len(CONTENT))
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.put(url, content=CONTENT)).raise_for_status()
    for _ in range(2):  # whose answer was lost asks again
        written = await store.adopt("given", len(CONTENT))
        assert (written.sha256, written.bytes) == (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    assert b"".join([chunk async for chunk in await store.stream(written.path)]) == CONTENT
    after = datetime.now(UTC) + timedelta(hours=1)
    assert [found.path async for found in store.older(UPLOADS, after)] == [f"{UPLOADS}/given"]
    with pytest.raises(TooLarge):
        await store.adopt("given", len(CONTENT) - 1)


async def test_a_directory_takes_files_from_us_alone(tmp_path: Path) -> None:
    with pytest.raises(NoDirectUpload):
        await BlobStore(tmp_path.as_uri()).direct_url("given", timedelta(minutes=1))


async def test_a_file_in_the_bucket_becomes_a_dataset_when_its_bytes_are_right(
    deployment: Deployment, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOB_URL", bucket)
    content = b"a,b\n1,x\n2,y\n"
    async with running("ledger", "ingestion"), gateway() as client, httpx.AsyncClient(trust_env=False) as outside:
        upload = (await client.post("/v1/uploads/direct")).json()
        asked = {"name": "direct", "filename": "t.csv", "upload": upload["id"]}
        assert (await client.post("/v1/datasets", json=asked)).status_code == 404
        (await outside.request(upload["method"], upload["url"], content=content)).raise_for_status()
        wrong = await client.post("/v1/datasets", json={**asked, "sha256": "0" * 64})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/sha256")
        asked["sha256"] = hashlib.sha256(content).hexdigest()
        job = (await client.post("/v1/datasets", json=asked, headers={"Prefer": "wait=60"})).json()
        assert job["status"] == "succeeded", job["error"]
        assert job["params"]["file"] == {"sha256": asked["sha256"], "bytes": len(content)}
        assert job["result"]["rows"] == 2


async def test_a_gateway_over_a_directory_says_where_else_to_send_a_file(deployment: Deployment) -> None:
    async with gateway() as client:
        refused = await client.post("/v1/uploads/direct")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/no-direct-upload")
