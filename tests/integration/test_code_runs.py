"""Programs of users through broker, pool and the real sandbox, and what they leave."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import from_json

from consumers.execution import resources
from consumers.execution.sandbox.ports import Ended, Program, Sandbox, SandboxFault, SandboxUnavailable
from consumers.runtime.worker_pool import WorkerPool
from messaging import names
from producers.catalog import dataset_id_of
from schemas.execution import Stream
from storage import datasets
from storage.blobs import BlobStore
from storage.database import connect
from storage.settings import StorageSettings
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.sandboxes import OpenDoor
from tests.support.served import served_gateway
from tests.support.waiting import eventually
from tests.support.wire import is_drained

pytestmark = pytest.mark.usefixtures("deployment")

WAIT = {"Prefer": "wait=30"}
PLOT = """
import os, struct, zlib

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

rows = b"".join(b"\\0" + bytes(255 if x < y else 0 for x in range(8)) for y in range(8))
os.mkdir("figures")
with open("figures/a <plot>.png", "wb") as file:
    file.write(b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
               + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
"""


async def ran(client: httpx.AsyncClient, code: str, **params: Any) -> dict[str, Any]:
    """The job, ended."""
    answer = await client.post("/v1/code/runs", json={"code": code, **params}, headers=WAIT)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    assert (job["kind"], job["status"]) == ("code.run", "succeeded"), job["error"]
    return job


async def ended(client: httpx.AsyncClient, files: dict[str, Any], code: str, status: str) -> dict[str, Any]:
    """The job, once it ends like this: the store learns of an end a moment after who waits for it."""

    async def again() -> dict[str, Any]:
        answer = await client.post("/v1/code/runs", json={"code": code, "files": files}, headers=WAIT)
        job: dict[str, Any] = answer.json()
        return job if job["status"] == status else {}

    return await eventually(again)


async def test_programs_of_users(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    """One stack for all of them."""
    monkeypatch.setenv("MILLRACE_CODE_DISALLOWED_IMPORTS", "ctypes")
    monkeypatch.setenv("MILLRACE_EXECUTION_MOST_MEMORY_MB", "1024")
    async with running("ledger", "execution") as pools, served_gateway() as client:
        for check in (reads_and_leaves, is_given_a_dataset, artifacts_are_saved, long_output_is_kept, is_looked_at):
            with subtests.test(check.__name__):
                await check(client)
        for check in (output_is_seen_and_resumed, is_cancelled_at_once):
            with subtests.test(check.__name__):
                await check(client)

        async def idle() -> bool:
            health: Any = pools["execution"].health()["code.run"]
            return bool(health["in_flight"] == 0)

        await eventually(idle, within_s=2)


async def reads_and_leaves(client: httpx.AsyncClient) -> None:
    given = {"data/names.txt": {"content": base64.b64encode(b"mill race").decode()}}
    code = "print(open('data/names.txt').read().title(), input())\nopen('left.txt', 'w').write('bytes')\n1 / 0"
    job = await ran(client, code, files=given, stdin="wheel\n")
    found = job["result"]
    assert (found["outcome"], found["exit_code"], found["stdout"]) == ("error", 1, "Mill Race wheel\n")
    assert found["stderr"].splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert [each["name"] for each in found["artifacts"]] == ["left.txt"]
    assert found["usage"]["peak_memory_bytes"] > 0

    left = {"job_id": job["id"], "artifact": "left.txt"}
    copied = await ended(client, {"before.txt": left}, "print(open('before.txt').read())", "succeeded")
    assert copied["result"]["stdout"] == "bytes\n"
    absent = await ended(client, {"x": left | {"artifact": "right.txt"}}, "1", "failed")
    assert absent["error"]["detail"].startswith(f"/params/files/x: job {job['id']} has left no 'right.txt'")


async def is_given_a_dataset(client: httpx.AsyncClient) -> None:
    """Only its owner's program."""
    settings, content = StorageSettings(), b"PAR1, as it were"
    _, sha256 = await BlobStore(settings.blobs).put(content)
    file, version = {"sha256": sha256, "bytes": len(content)}, "3f2a9c0b1d4e"
    about = {"version": version, "rows": 1, "columns": 1, "sha256": sha256, "column_types": [], "rejected": 0}
    about |= {"reading": {"format": "parquet"}, "table": file, "preview": file, "warnings": []}
    async with connect(settings) as database:
        for principal in ("operator", "somebody"):
            made = {**about, "dataset_id": dataset_id_of(principal, "iris"), "name": "iris"}
            await datasets.add_version(database, made, job_id="0" * 32, principal=principal, at=datetime.now(UTC))
    for principal, status in (("operator", "succeeded"), ("somebody", "failed")):
        given = {"iris.parquet": {"dataset_id": dataset_id_of(principal, "iris"), "version": version}}
        job = await ended(client, given, "print(open('iris.parquet').read())", status)
    assert job["error"]["type"] == "/problems/not-found"


async def artifacts_are_saved(client: httpx.AsyncClient) -> None:
    """And never shown."""
    job = await ran(client, PLOT)
    (left,) = job["result"]["artifacts"]
    answer = await client.get(f"/v1/jobs/{job['id']}/artifacts/figures/a%20%3Cplot%3E.png")
    assert answer.content.startswith(b"\x89PNG")
    assert len(answer.content) == left["file"]["bytes"]
    headers = answer.headers
    assert headers["content-type"] == "application/octet-stream"
    disposition = "attachment; filename=\"a _plot_.png\"; filename*=UTF-8''a%20%3Cplot%3E.png"
    assert headers["content-disposition"] == disposition
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert (await client.get(f"/v1/jobs/{job['id']}/artifacts/other.png")).status_code == 404
    assert (await client.get(f"/v1/jobs/{'0' * 32}/artifacts/other.png")).status_code == 404


async def long_output_is_kept(client: httpx.AsyncClient) -> None:
    job = await ran(client, "print('é' * 100_000, end='')")
    found = job["result"]
    assert (found["stdout_truncated"], found["stderr_truncated"]) == (True, False)
    assert 20_000 < len(found["stdout"]) < 100_000
    assert (await client.get(f"/v1/jobs/{job['id']}/output/stdout")).text == "é" * 100_000
    assert (await client.get(f"/v1/jobs/{job['id']}/output/stderr")).text == ""
    flood = (await ran(client, "while True: print('x' * 1000)", output_bytes=10_000))["result"]
    assert (flood["outcome"], len(flood["stdout"]), flood["stdout_truncated"]) == ("output_limit", 10_000, True)
    assert "wrote more than 10,000 bytes" in flood["diagnostics"][0]["message"]


async def is_looked_at(client: httpx.AsyncClient) -> None:
    """Before it runs."""
    refused = await client.post("/v1/code/runs", json={"code": "import json\nimport ctypes\n"})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error == {"pointer": "/code", "detail": "line 2, column 8: ctypes may not be imported here"}
    looked = (await client.post("/v1/code/validate", json={"code": "import numpy\nx = ("})).json()
    (said,) = looked["diagnostics"]
    assert (looked["valid"], said["severity"], said["line"], said["column"]) == (False, "error", 2, 5)
    for params, why in (
        ({"code": "x = ("}, "/params/code: line 1, column 5: '(' was never closed"),
        ({"code": "1", "memory_mb": 1025}, "/params/memory_mb: at most 1024 here"),
    ):
        answer = await client.post("/v1/jobs", json={"kind": "code.run", "params": params}, headers=WAIT)
        assert (answer.json()["status"], answer.json()["error"]["detail"]) == ("failed", why)


async def events(client: httpx.AsyncClient, job_id: str, after: str = "") -> AsyncIterator[tuple[str, str, Any]]:
    """Id, name and data."""
    headers = {"Last-Event-ID": after} if after else {}
    async with client.stream("GET", f"/v1/jobs/{job_id}/output", headers=headers) as response:
        assert response.status_code == 200
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield fields.get("id", ""), fields["event"], from_json(fields["data"])
                fields = {}


async def output_is_seen_and_resumed(client: httpx.AsyncClient) -> None:
    """While it runs."""
    code = "import time\nprint('one', flush=True)\ntime.sleep(1.5)\nprint('two')"
    job_id = (await client.post("/v1/code/runs", json={"code": code})).json()["id"]
    seen, times = [], []
    async for event in events(client, job_id):
        seen.append(event)
        times.append(time.monotonic())
    assert [name for _, name, _ in seen] == ["started", "stdout", "stdout", "ended"]
    assert [data["text"] for _, name, data in seen if name == "stdout"] == ["one\n", "two\n"]
    assert times[2] - times[1] > 1, "the first came long before the second"
    assert seen[-1][2]["result"]["stdout"] == "one\ntwo\n"
    resumed = [event async for event in events(client, job_id, seen[1][0])]
    assert resumed == seen[2:]
    answers = [
        await client.get(f"/v1/jobs/{job_id}/output", headers={"Last-Event-ID": last}) for last in ("ended", "x")
    ]
    assert [answer.status_code for answer in answers] == [204, 400]


async def is_cancelled_at_once(client: httpx.AsyncClient) -> None:
    accepted = await client.post("/v1/code/runs", json={"code": "while True: pass", "timeout_s": 60})
    url = accepted.headers["location"]

    async def runs() -> bool:
        return bool((await client.get(url)).json()["status"] == "running")

    await eventually(runs)
    assert (await client.post(f"{url}/cancel")).json()["status"] == "cancelled"
    assert [event async for event in events(client, url.rpartition("/")[2])][-1][1] == "ended"


class BreaksOnce(OpenDoor):
    """A sandbox whose second program finds it broken."""

    def __init__(self) -> None:
        self._programs = 0

    async def run(self, program: Program, artifacts: Path, output: Callable[[Stream, bytes], None]) -> Ended:
        self._programs += 1
        if self._programs == 2:
            raise SandboxFault("the zygote is gone")
        return await super().run(program, artifacts, output)


async def test_without_a_sandbox_nothing_runs_and_one_that_breaks_down_is_tried_again(deployment: Deployment) -> None:
    """The queue is not consumed, the reason is on /healthz, and the job runs once the walls are there."""
    there = asyncio.Event()

    @asynccontextmanager
    async def when_it_is_there() -> AsyncIterator[Sandbox]:
        if not there.is_set():
            raise SandboxUnavailable("no user namespaces: set kernel.unprivileged_userns_clone=1")
        yield BreaksOnce()

    pool = WorkerPool(
        "execution", resources=lambda services: resources.open_execution_with(when_it_is_there, services)
    )
    async with running("ledger", pool) as pools, gateway() as client:
        url = (await client.post("/v1/code/runs", json={"code": "print('at last')"})).headers["location"]
        health: Any = pools["execution"].health()
        assert health["sandbox"] == {"unavailable": "no user namespaces: set kernel.unprivileged_userns_clone=1"}
        assert health["code.run"]["state"] == "paused"
        assert "kernel.unprivileged_userns_clone" in health["code.run"]["reason"]
        assert not await is_drained(deployment, names.work_queue("code.run"))
        there.set()
        job = (await client.get(url, headers=WAIT)).json()
        assert (job["status"], job["attempt"], job["result"]["stdout"]) == ("succeeded", 1, "at last\n")
        assert pools["execution"].health()["sandbox"] == {"tier": "B"}
        assert (await ran(client, "print('again')"))["attempt"] == 2
