"""Programs of users through broker, pool and the real sandbox, and what they leave."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic_core import from_json

from consumers.execution import resources
from consumers.execution.sandbox.ports import Sandbox, SandboxUnavailable
from consumers.runtime.worker_pool import WorkerPool
from messaging import names
from tests.conftest import Deployment
from tests.support.processes import gateway, running
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


async def test_a_program_reads_its_files_and_leaves_others(deployment: Deployment) -> None:
    async with running("ledger", "execution"), gateway() as client:
        given = {"data/names.txt": {"content": base64.b64encode(b"mill race").decode()}}
        code = "print(open('data/names.txt').read().title(), input())\nopen('left.txt', 'w').write('bytes')\n1 / 0"
        job = await ran(client, code, files=given, stdin="wheel\n")
        found = job["result"]
        assert (found["outcome"], found["exit_code"], found["stdout"]) == ("error", 1, "Mill Race wheel\n")
        assert found["stderr"].splitlines()[-1] == "ZeroDivisionError: division by zero"
        assert [each["name"] for each in found["artifacts"]] == ["left.txt"]
        assert found["usage"]["peak_memory_bytes"] > 0

        again = {"before.txt": {"job_id": job["id"], "artifact": "left.txt"}}
        copied = await eventually(lambda: _ended(client, "print(open('before.txt').read())", again))
        assert copied["result"]["stdout"] == "bytes\n"
        theirs = await _ended(client, "1", {"x": {"job_id": job["id"], "artifact": "right.txt"}}, failed=True)
        assert theirs["error"]["detail"].startswith(f"/params/files/x: job {job['id']} has left no 'right.txt'")


async def _ended(
    client: httpx.AsyncClient, code: str, files: dict[str, Any], *, failed: bool = False
) -> dict[str, Any]:
    """The store learns of an end a moment after who waits for it."""
    answer = await client.post("/v1/code/runs", json={"code": code, "files": files}, headers=WAIT)
    job: dict[str, Any] = answer.json()
    return job if job["status"] == ("failed" if failed else "succeeded") else {}


async def test_artifacts_are_saved_and_never_shown(deployment: Deployment) -> None:
    async with running("ledger", "execution"), gateway() as client:
        job = await ran(client, PLOT)
        (left,) = job["result"]["artifacts"]
        answer = await client.get(f"/v1/jobs/{job['id']}/artifacts/figures/a%20%3Cplot%3E.png")
        assert answer.content.startswith(b"\x89PNG")
        assert len(answer.content) == left["file"]["bytes"]
        headers = answer.headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"] == (
            "attachment; filename=\"a _plot_.png\"; filename*=UTF-8''a%20%3Cplot%3E.png"
        )
        assert (headers["x-content-type-options"], "sandbox" in headers["content-security-policy"]) == (
            "nosniff",
            True,
        )
        assert (await client.get(f"/v1/jobs/{job['id']}/artifacts/other.png")).status_code == 404
        assert (await client.get(f"/v1/jobs/{'0' * 32}/artifacts/other.png")).status_code == 404


async def test_long_output_is_kept_whole(deployment: Deployment) -> None:
    async with running("ledger", "execution"), gateway() as client:
        job = await ran(client, "print('é' * 100_000, end='')")
        found = job["result"]
        assert (found["stdout_truncated"], found["stderr_truncated"]) == (True, False)
        assert 20_000 < len(found["stdout"]) < 100_000
        whole = await client.get(f"/v1/jobs/{job['id']}/output/stdout")
        assert whole.text == "é" * 100_000
        assert (await client.get(f"/v1/jobs/{job['id']}/output/stderr")).text == ""
        flood = (await ran(client, "while True: print('x' * 1000)", output_bytes=10_000))["result"]
        assert (flood["outcome"], len(flood["stdout"]), flood["stdout_truncated"]) == ("output_limit", 10_000, True)
        assert "wrote more than 10,000 bytes" in flood["diagnostics"][0]["message"]


async def test_code_is_looked_at_before_it_runs(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_CODE_DISALLOWED_IMPORTS", "ctypes")
    monkeypatch.setenv("MILLRACE_EXECUTION_MOST_MEMORY_MB", "1024")
    async with running("ledger", "execution"), gateway() as client:
        refused = await client.post("/v1/code/runs", json={"code": "import json\nimport ctypes\n"})
        assert refused.status_code == 422
        assert refused.json()["errors"] == [
            {"pointer": "/code", "detail": "line 2, column 8: ctypes may not be imported here"}
        ]
        looked = (await client.post("/v1/code/validate", json={"code": "import numpy\nx = ("})).json()
        assert (looked["valid"], looked["diagnostics"][0]["line"], looked["diagnostics"][0]["column"]) == (
            False,
            2,
            5,
        )
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


async def test_output_is_seen_while_it_runs_and_resumed(deployment: Deployment) -> None:
    code = "import time\nprint('one', flush=True)\ntime.sleep(1.5)\nprint('two')"
    async with running("ledger", "execution"), served_gateway() as client:
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


async def test_a_running_program_is_cancelled_at_once(deployment: Deployment) -> None:
    async with running("ledger", "execution") as pools, gateway() as client:
        url = (await client.post("/v1/code/runs", json={"code": "while True: pass", "timeout_s": 60})).headers[
            "location"
        ]

        async def runs() -> bool:
            return bool((await client.get(url)).json()["status"] == "running")

        await eventually(runs)
        started = time.monotonic()
        assert (await client.post(f"{url}/cancel")).json()["status"] == "cancelled"

        async def idle() -> bool:
            health: Any = pools["execution"].health()["code.run"]
            return bool(health["in_flight"] == 0)

        await eventually(idle)
        assert time.monotonic() - started < 2
        assert [event async for event in events(client, url.rpartition("/")[2])][-1][1] == "ended"


async def test_without_a_sandbox_nothing_runs_until_there_is_one(deployment: Deployment) -> None:
    """The queue is not consumed, the reason is on /healthz, and the job runs once the walls are there."""
    from consumers.execution.sandbox.opening import open_sandbox
    from consumers.execution.sandbox.settings import SandboxSettings

    there = asyncio.Event()

    @asynccontextmanager
    async def when_it_is_there() -> AsyncIterator[Sandbox]:
        if not there.is_set():
            raise SandboxUnavailable("no user namespaces: set kernel.unprivileged_userns_clone=1")
        async with open_sandbox(SandboxSettings()) as sandbox:
            yield sandbox

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
        assert pools["execution"].health()["sandbox"] != health["sandbox"]
