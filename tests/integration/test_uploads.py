"""Resumable uploads: the tus protocol, broken connections, and what becomes of a finished upload."""

import asyncio
import base64
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.partial_files import KEPT_S, PartialFiles
from tests.support.processes import gateway
from tests.support.served import served_gateway

pytestmark = pytest.mark.usefixtures("deployment")

TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}
CONTENT = b"a,b\n" + b"1,2\n" * 50_000


async def created(client: httpx.AsyncClient, length: int = len(CONTENT), metadata: str = "") -> str:
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
    answer = await client.post("/v1/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def send(client: httpx.AsyncClient, url: str, offset: int, content: Any) -> httpx.Response:
    return await client.patch(url, headers={**PART, "Upload-Offset": str(offset)}, content=content)


async def offset_of(client: httpx.AsyncClient, url: str) -> int:
    return int((await client.head(url, headers=TUS)).headers["upload-offset"])


async def test_parts_become_a_file_that_becomes_a_dataset() -> None:
    filename = base64.b64encode(b"numbers.csv").decode()
    async with gateway() as client:
        url = await created(client, metadata=f"filename {filename},name {filename}")
        for begin in range(0, len(CONTENT), 60_000):
            answer = await send(client, url, begin, CONTENT[begin : begin + 60_000])
            assert answer.status_code == 204
        assert await offset_of(client, url) == len(CONTENT)
        asked = {"name": "numbers", "upload": url.rpartition("/")[2], "delimiter": "comma"}
        for _ in range(2):  # whose answer was lost asks again
            job = (await client.post("/v1/datasets", json=asked, headers={"Idempotency-Key": "once"})).json()
            assert job["kind"] == "dataset.ingest"
            assert job["params"]["file"] == {"sha256": hashlib.sha256(CONTENT).hexdigest(), "bytes": len(CONTENT)}
            assert (job["params"]["filename"], job["params"]["hints"]["delimiter"]) == ("numbers.csv", ",")


async def test_what_arrived_before_a_connection_broke_is_kept() -> None:
    async with served_gateway() as client:
        url = await created(client)

        async def breaking() -> AsyncIterator[bytes]:
            yield CONTENT[:70_000]
            raise ConnectionError("the cable")

        with pytest.raises(ConnectionError):
            await send(client, url, 0, breaking())
        offset = 0
        async with asyncio.timeout(10):
            while not offset:
                offset = await offset_of(client, url)
        assert 0 < offset <= 70_000
        answer = await send(client, url, offset, CONTENT[offset:])
        assert answer.headers["upload-offset"] == str(len(CONTENT))


async def test_what_does_not_fit_is_refused_and_changes_nothing(subtests: pytest.Subtests) -> None:
    async with gateway(max_upload_bytes=1_000_000) as client:
        url = await created(client, 10)
        await send(client, url, 0, b"12345")
        refused: dict[str, tuple[int, dict[str, Any]]] = {
            "another offset": (409, {"headers": {**PART, "Upload-Offset": "4"}, "content": b"x"}),
            "no offset": (400, {"headers": PART, "content": b"x"}),
            "too many bytes": (413, {"headers": {**PART, "Upload-Offset": "5"}, "content": b"123456"}),
            "another type": (415, {"headers": {**TUS, "Upload-Offset": "5"}, "content": b"x"}),
            "another version": (412, {"headers": {**PART, "Tus-Resumable": "0.2.2", "Upload-Offset": "5"}}),
        }
        for case, (status, request) in refused.items():
            with subtests.test(case):
                answer = await client.patch(url, **request)
                assert answer.status_code == status, answer.text
                assert await offset_of(client, url) == 5
        too_long = await client.post("/v1/uploads", headers={**TUS, "Upload-Length": "1000001"})
        assert too_long.status_code == 413
        early = await client.post("/v1/datasets", json={"name": "x", "upload": url.rpartition("/")[2]})
        assert (early.status_code, early.json()["errors"][0]["pointer"]) == (422, "/upload")
        assert (await client.delete(url, headers=TUS)).status_code == 204
        assert (await client.head(url, headers=TUS)).status_code == 404


async def test_the_server_says_what_it_can_do() -> None:
    async with gateway() as client:
        answer = await client.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {"creation", "termination", "expiration"}


async def test_two_connections_do_not_write_at_once(tmp_path: Path) -> None:
    files = PartialFiles(tmp_path)
    partial = files.create("me", 10, {})
    async with gateway(data_dir=tmp_path) as client:
        place = PartialFiles(tmp_path / "uploads")
        mine = place.create("operator", 10, {})
        async with place.appending(mine):
            answer = await send(client, f"/v1/uploads/{mine.id}", 0, b"x")
    assert answer.status_code == 409
    assert files.find(partial.id, "somebody else") is None


def test_what_nobody_goes_on_with_is_swept(tmp_path: Path) -> None:
    files = PartialFiles(tmp_path)
    old, new = files.create("me", 10, {}), files.create("me", 10, {})
    for file in (tmp_path / old.id).iterdir():
        os.utime(file, (0, time.time() - KEPT_S - 1))
    assert files.sweep() == 1
    assert files.find(old.id, "me") is None
    assert files.find(new.id, "me") == new
