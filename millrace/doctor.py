"""`millrace doctor`: does each part work here, and what would help where it does not."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from millrace.stack import probes
from millrace.stack.services import rabbitmq_server, redis_server
from storage.blobs import BlobStore
from storage.settings import StorageSettings

_SANDBOX_S = 60.0


@dataclass(frozen=True)
class Finding:
    part: str
    ok: bool
    detail: str


async def examine(environment: Mapping[str, str]) -> list[Finding]:
    """Of the stack that `environment` names; where it names none, whether one could be started."""
    return [
        await _broker(environment.get("RABBITMQ_URL")),
        await _store(environment.get("MONGODB_URL")),
        await _redis(environment.get("REDIS_URL")),
        await _blobs(environment),
        await _sandbox(),
    ]


def table(found: list[Finding]) -> Table:
    rows = Table("Part", "", "", box=None, show_header=False)
    for each in found:
        rows.add_row(each.part, "[green]ok[/]" if each.ok else "[red]wrong[/]", escape(each.detail))
    return rows


async def _broker(url: str | None) -> Finding:
    if url is None:
        return await _finding("broker", _program(rabbitmq_server))
    return await _finding("broker", _answers(probes.amqp(url), url))


async def _store(url: str | None) -> Finding:
    if url is None:
        return Finding("store", ok=True, detail="not running; `millrace up` starts one")
    return await _finding("store", _answers(probes.mongodb(url), url))


async def _redis(url: str | None) -> Finding:
    if url is None:
        return await _finding("redis", _program(redis_server))
    return await _finding("redis", _answers(probes.redis(url), url))


async def _blobs(environment: Mapping[str, str]) -> Finding:
    async def kept() -> str:
        url = environment.get("BLOB_URL") or StorageSettings().blobs
        await BlobStore(url).put(b"millrace doctor")
        return f"{url} keeps what is put there"

    return await _finding("blobs", kept())


async def _sandbox() -> Finding:
    """Asked of a process of its own, which tries it: nothing else can tell."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "consumers.execution.sandbox"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(os.environ),
    )
    try:
        async with asyncio.timeout(_SANDBOX_S):
            said, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        return Finding("sandbox", ok=False, detail=f"no answer within {_SANDBOX_S:g} s")
    return Finding("sandbox", ok=child.returncode == 0, detail=said.decode(errors="replace").strip())


async def _finding(part: str, detail: Awaitable[str]) -> Finding:
    try:
        return Finding(part, ok=True, detail=await detail)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what we were asked for
        return Finding(part, ok=False, detail=str(error) or type(error).__name__)


async def _answers(probe: Awaitable[None], url: str) -> str:
    await probe
    return f"answers at {url.rpartition('@')[2].rpartition('//')[2]}"


async def _program(find: Callable[[], str]) -> str:
    return f"not running; `millrace up` starts {find()}"
