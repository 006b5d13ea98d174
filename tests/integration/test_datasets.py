"""From an uploaded file to a version in the catalog, a profile, and its report."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from messaging.publisher import open_publisher
from producers.outbox import Outbox
from producers.rebuilding import Rebuilding
from schemas.jobs.dataset_ingest import IngestDataset
from schemas.lifecycle import JobSucceeded
from storage.blobs import BlobStore
from storage.database import connect
from tests.conftest import Deployment
from tests.support import wire
from tests.support.processes import PoolProcess, gateway, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")

WAIT = {"Prefer": "wait=60"}


def standard_library() -> str:
    """A real table: the modules of the standard library, with their sizes and first lines."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["module", "bytes", "lines", "package", "doc"])
    folder = Path(asyncio.__file__).parents[1]
    for path in sorted(folder.glob("*/*.py")) + sorted(folder.glob("*.py")):
        if "site-packages" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        first = text.splitlines()[0] if text else ""
        rows.writerow([path.stem, path.stat().st_size, text.count("\n"), path.parent.name, first])
    return out.getvalue()


TABLE = standard_library()


async def put(client: httpx.AsyncClient, name: str, content: Any, **query: str) -> httpx.Response:
    return await client.put(f"/v1/datasets/{name}", params=query, content=content, headers=WAIT)


def blobs_in(deployment: Deployment) -> list[Path]:
    folder = Path(deployment.environment["BLOB_URL"].removeprefix("file://"))
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_becomes_a_version_a_profile_and_a_report() -> None:
    async with running("ledger", "ingestion", "profiling"), gateway() as client:
        job = (await put(client, "stdlib", TABLE, filename="stdlib.csv")).json()
        assert job["status"] == "succeeded", job["error"]
        found = (await client.get("/v1/datasets/stdlib")).json()
        assert found["id"] == job["result"]["dataset_id"]
        assert found["version"]["rows"] == TABLE.count("\n") - 1 == job["result"]["rows"]
        types = {column["name"]: column["type"] for column in found["version"]["columns"]}
        assert types["bytes"] == types["lines"] == "integer"
        preview = (await client.get(found["links"]["preview"])).json()
        assert preview["columns"] == ["module", "bytes", "lines", "package", "doc"]
        assert len(preview["rows"]) == 100
        table = pq.read_table(io.BytesIO((await client.get(found["links"]["table"])).content))
        assert table.num_rows == found["version"]["rows"]

        profile = await client.post("/v1/datasets/stdlib/profile", json={}, headers=WAIT)
        assert profile.json()["status"] == "succeeded", profile.json()["error"]
        figures = (await client.get(found["links"]["profile"])).json()
        assert (figures["rows"], len(figures["columns"])) == (table.num_rows, 5)
        sizes = table.column("bytes").to_pylist()
        numbers = next(column for column in figures["columns"] if column["name"] == "bytes")["numbers"]
        assert (numbers["min"], numbers["max"]) == (min(sizes), max(sizes))
        assert numbers["mean"] == pytest.approx(sum(sizes) / len(sizes))
        report = await client.get(found["links"]["report"])
        assert report.headers["content-type"] == "text/html; charset=utf-8"
        assert "stdlib" in report.text
        again = await client.get(found["links"]["report"], headers={"If-None-Match": report.headers["etag"]})
        assert again.status_code == 304
        assert [item["headline"]["rows"] for item in (await client.get("/v1/datasets/stdlib/profiles")).json()] == [
            table.num_rows
        ]


async def test_the_same_bytes_are_the_same_version_and_stored_once(deployment: Deployment) -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        first = (await put(client, "twice", TABLE)).json()
        stored = len(blobs_in(deployment))
        second = (await put(client, "twice", TABLE)).json()
        assert second["result"]["version"] == first["result"]["version"]
        assert second["result"]["table"] == first["result"]["table"]
        assert len(blobs_in(deployment)) == stored
        other = (await put(client, "twice", TABLE + "extra,1,2,3,4\n")).json()
        versions = (await client.get("/v1/datasets/twice/versions")).json()
        assert [item["version"] for item in versions] == [other["result"]["version"], first["result"]["version"]]
        assert [item["number"] for item in versions] == [2, 1]
        assert (await client.get("/v1/datasets/twice?version=1")).json()["version"]["rows"] == versions[1]["rows"]


async def test_a_form_names_the_dataset_and_how_to_read_it() -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        form = {"name": "form", "delimiter": "semicolon"}
        file = ("people.csv", b"name;age\nAda, Countess;36\nGrace;85\n", "text/csv")
        job = (await client.post("/v1/datasets", data=form, files={"file": file}, headers=WAIT)).json()
        assert job["status"] == "succeeded", job["error"]
        assert job["params"]["filename"] == "people.csv"
        assert (await client.get("/v1/datasets/form/preview")).json()["rows"] == [
            ["Ada, Countess", 36],
            ["Grace", 85],
        ]


async def test_the_catalog_is_made_again_from_results(deployment: Deployment) -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        wide = ",".join(f"column{number}" for number in range(8_000)) + "\n"  # a result that is claim-checked
        await put(client, "narrow", TABLE)
        await put(client, "wide", wide)
        before = [(await client.get(f"/v1/datasets/{name}")).json() for name in ("narrow", "wide")]
        async with connect(deployment.storage) as database, open_publisher(deployment.broker, "test") as publisher:
            for collection in ("datasets", "dataset_versions"):
                await database[collection].delete_many({})
            assert (await client.get("/v1/datasets/narrow")).status_code == 404
            await Rebuilding(publisher, database, deployment.storage, "test").run()
        assert [(await client.get(f"/v1/datasets/{name}")).json() for name in ("narrow", "wide")] == before


@pytest.mark.parametrize("flaw", ["of another shape", "beyond BSON", "beyond a document"])
async def test_a_result_that_cannot_be_listed_does_not_stop_the_ledger(deployment: Deployment, flaw: str) -> None:
    body = (Path(__file__).parents[1] / "contract/examples/dataset.ingested.1.json").read_text()
    result: dict[str, Any] = json.loads(body)["body"]
    if flaw == "of another shape":
        result = {"surplus": 1}
    elif flaw == "beyond BSON":
        result |= {"rows": 2**70, "warnings": ["x" * 300_000]}  # claim-checked, so that the job can be stored
    else:
        result |= {"warnings": ["x" * 17_000_000]}
    succeeded = JobSucceeded(started_at=None, finished_at=datetime.now(UTC), result=result)
    envelope = wire.command(IngestDataset)
    async with running("ledger", "ingestion"), gateway() as client:
        async with open_publisher(deployment.broker, "test") as publisher:
            outbox = Outbox(publisher, BlobStore(deployment.storage.blobs))
            await outbox.tell(envelope.event(succeeded, source="test"), succeeded)
        job = (await put(client, "after", TABLE)).json()
        listed = (await client.get("/v1/datasets")).json()["items"]
    assert job["status"] == "succeeded"
    assert [item["name"] for item in listed] == ["after"]


async def test_a_deleted_dataset_is_gone_until_it_is_uploaded_again() -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        await put(client, "gone", TABLE)
        assert (await client.delete("/v1/datasets/gone")).status_code == 204
        assert (await client.get("/v1/datasets/gone")).status_code == 404
        assert (await client.delete("/v1/datasets/gone")).status_code == 404
        assert (await client.get("/v1/datasets")).json()["items"] == []
        await put(client, "gone", TABLE)
        assert (await client.get("/v1/datasets/gone")).json()["version"]["number"] == 1


async def test_two_profiles_are_compared_also_of_two_datasets() -> None:
    async with running("ledger", "ingestion", "profiling"), gateway() as client:
        lines = TABLE.splitlines(keepends=True)
        for name, rows in (("train", lines), ("train", lines[: len(lines) // 2]), ("live", lines[: len(lines) // 3])):
            assert (await put(client, name, "".join(rows), filename="t.csv")).json()["status"] == "succeeded"
        at = "/v1/datasets/train/profile/compare"
        missing = await client.get(at, params={"before": "1", "after": "2"})
        assert (missing.status_code, "POST /v1/datasets/train/profile" in missing.json()["detail"]) == (404, True)
        for name, version in (("train", "1"), ("train", "2"), ("live", "1")):
            made = await client.post(f"/v1/datasets/{name}/profile", json={"version": version}, headers=WAIT)
            assert made.json()["status"] == "succeeded", made.json()["error"]

        found = (await client.get(at, params={"before": "1", "after": "2"})).json()
        assert (found["before"], found["after"]) == ("train, version 1", "train, version 2")
        assert (found["rows_before"], len(found["drift"])) == (len(lines) - 1, 5)
        across = await client.get(f"{at}.html", params={"other": "live"})
        assert across.headers["content-type"] == "text/html; charset=utf-8"
        assert "live, version 1" in across.text
        same = await client.get(at)
        assert (same.status_code, same.json()["errors"][0]["pointer"]) == (422, "/after")


@pytest.mark.parametrize("kind", ["dataset.ingest", "dataset.profile"])
async def test_what_is_not_there_fails_and_says_so(kind: str) -> None:
    params: dict[str, Any] = {"name": "x", "file": {"sha256": "0" * 64, "bytes": 1}}
    if kind == "dataset.profile":
        params = {"dataset_id": "0" * 32, "version": "0" * 12}
    async with running("ledger", "ingestion", "profiling"), gateway() as client:
        job = (await client.post("/v1/jobs", json={"kind": kind, "params": params}, headers=WAIT)).json()
    assert job["status"] == "failed"
    assert job["error"]["detail"].startswith("/params/")


async def test_a_file_that_is_no_table_fails_its_job() -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        job = (await put(client, "picture", b"\x89PNG\r\n\x1a\n" + bytes(2_000), filename="picture.csv")).json()
        assert (job["status"], job["error"]["type"]) == ("failed", "/problems/unreadable-file")
        assert (await client.get("/v1/datasets/picture")).status_code == 404


async def test_uploads_that_are_refused_leave_nothing(deployment: Deployment, subtests: pytest.Subtests) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    half = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nhalf'
    twice = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n1\r\n' * 2 + b"--b--\r\n"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    refused: dict[str, tuple[int, str, dict[str, Any]]] = {
        "empty": (422, "put", {"content": b""}),
        "too large": (413, "put", {"content": b"x" * 5_000}),
        "too large, in chunks": (413, "put", {"content": endless()}),
        "half a form": (422, "post", {"content": half, "headers": boundary}),
        "two files": (422, "post", {"content": twice, "headers": boundary}),
        "no file": (422, "post", {"files": {"other": b"1"}, "data": {"name": "x"}}),
        "no form": (415, "post", {"content": b"a,b\n1,2\n", "headers": {"Content-Type": "text/csv"}}),
        "no name": (422, "post", {"files": {"file": b"a,b\n1,2\n"}}),
        "a name that is none": (422, "put", {"content": endless(), "path": "/v1/datasets/-x"}),
        "a wrong hint": (422, "put", {"content": b"a,b\n1,2\n", "params": {"delimiter": "two"}}),
    }
    async with gateway(max_upload_bytes=4_096) as client:
        for case, (status, method, request) in refused.items():
            with subtests.test(case):
                path = request.pop("path", "/v1/datasets/x" if method == "put" else "/v1/datasets")
                response = await client.request(method, path, **request)
                assert response.status_code == status, response.text
                assert response.headers["content-type"] == "application/problem+json"
    kept = blobs_in(deployment)
    assert not [path for path in kept if "uploads" in path.parts]
    assert len(kept) <= 2, "of forms whose other fields were wrong"


def slow(rows: int) -> Iterator[bytes]:
    yield b"number,text\n"
    for number in range(rows):
        yield f"{number},{'x' * (number % 50)}\n".encode()


@pytest.mark.slow
async def test_a_cancelled_ingestion_makes_no_version() -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        content = b"".join(slow(200_000))
        accepted = await client.put("/v1/datasets/cancelled", content=content)
        url = accepted.headers["location"]
        await eventually(lambda: running_state(client, url))
        assert (await client.post(f"{url}/cancel")).json()["status"] == "cancelled"
        assert (await client.get("/v1/datasets/cancelled")).status_code == 404


async def running_state(client: httpx.AsyncClient, url: str) -> bool:
    return bool((await client.get(url)).json()["status"] == "running")


@pytest.mark.slow
async def test_a_worker_killed_at_each_step_leaves_one_version_and_one_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_LEASE_S", "1.5")
    async with running("ledger", "reaper"), gateway() as client:
        async with PoolProcess(tmp_path / "first", "ingestion", "profiling") as first:
            ingestion = (await client.put("/v1/datasets/big", content=b"".join(slow(500_000)))).headers["location"]
            await eventually(lambda: running_state(client, ingestion))
            await first.kill_alone()
        async with PoolProcess(tmp_path / "second", "ingestion", "profiling") as second:
            ingested = (await client.get(ingestion, headers=WAIT)).json()
            assert (ingested["status"], ingested["result"]["rows"]) == ("succeeded", 500_000)
            accepted = await client.post("/v1/datasets/big/profile", json={})
            profiling = accepted.headers["location"]
            await eventually(lambda: running_state(client, profiling))
            await second.kill_alone()
        async with PoolProcess(tmp_path / "third", "ingestion", "profiling"):
            profiled = (await client.get(profiling, headers=WAIT)).json()
        assert (profiled["status"], profiled["result"]["headline"]["rows"]) == ("succeeded", 500_000)
        assert [item["number"] for item in (await client.get("/v1/datasets/big/versions")).json()] == [1]
        assert len((await client.get("/v1/datasets/big/profiles")).json()) == 1
