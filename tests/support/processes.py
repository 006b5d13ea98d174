"""Millrace under test: pools and gateway in the test's own process, or pools as processes of their own, all on the
deployment that the environment points at."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import httpx

from consumers.__main__ import load_pool
from consumers.runtime.pool import Pool, RunningPool, Services
from gateway.app import create_app
from gateway.keys import new_key
from gateway.settings import GatewaySettings
from messaging.consumer import open_consumer
from messaging.publisher import open_publisher
from messaging.settings import BrokerSettings
from millrace.stack.ports import free_port
from millrace.stack.process import Child
from producers.outbox import Outbox
from storage.blobs import BlobStore
from storage.database import connect
from storage.settings import StorageSettings
from tests.support.waiting import eventually


@asynccontextmanager
async def services(name: str = "test") -> AsyncIterator[Services]:
    """What pools share, opened the way a consumer process does it."""
    broker, storage = BrokerSettings(), StorageSettings()
    async with (
        asyncio.TaskGroup() as background,
        open_publisher(broker, name) as publisher,
        open_consumer(broker, name) as consumer,
        connect(storage) as database,
    ):
        yield Services(consumer, Outbox(publisher, BlobStore(storage.blobs)), storage, database, name, background)
        await consumer.stop_taking()


@asynccontextmanager
async def running(*pools: str | Pool) -> AsyncIterator[dict[str, RunningPool]]:
    """These pools, subscribed; drained at the end like a process that was told to stop."""
    async with services() as shared, AsyncExitStack() as stack:
        opened: dict[str, RunningPool] = {}
        for given in pools:
            pool = load_pool(given) if isinstance(given, str) else given
            opened[pool.name] = await stack.enter_async_context(pool.open(shared))
        yield opened
        await shared.consumer.stop_taking()
        for started in opened.values():
            await started.drain()


@asynccontextmanager
async def gateway(**settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client that holds the key of a gateway, which runs in this process without a socket."""
    key = new_key()
    app = create_app(GatewaySettings.model_validate({"api_key": key, **settings}))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers={"X-API-Key": key}, timeout=30
        ) as client:
            yield client


class PoolProcess:
    """`python -m consumers ...` as a process of its own, to be killed and started again."""

    def __init__(self, folder: Path, *pools: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "consumers", *pools, "--port", str(self.port)]
        self._child = Child("+".join(pools), command, log=folder / f"{pools[0]}.log", env=os.environ)

    @property
    def running(self) -> bool:
        return self._child.running

    async def start(self) -> None:
        self._child.start()
        await eventually(self._healthy, within_s=60)

    async def kill(self) -> None:
        await self._child.kill()

    @property
    def pid(self) -> int:
        assert self._child.pid is not None
        return self._child.pid

    async def kill_alone(self) -> None:
        """SIGKILL to the process and to nobody that it started."""
        os.kill(self.pid, signal.SIGKILL)
        await self._child.wait()

    async def stop(self) -> int:
        """TERM; its exit status."""
        self._child.signal_group(signal.SIGTERM)
        return await self._child.wait()

    async def log(self) -> list[dict[str, object]]:
        lines = await asyncio.to_thread(self._child.log.read_text)
        return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]

    async def _healthy(self) -> bool:
        assert self._child.running, self._child.log_tail()
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"http://127.0.0.1:{self.port}/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._child.stop(10)
