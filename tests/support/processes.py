"""Millrace in the test's own process: pools and gateway, on the deployment that the environment points at."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from consumers.__main__ import load_pool
from consumers.runtime.pool import Pool, RunningPool, Services
from gateway.app import create_app
from gateway.keys import new_key
from gateway.settings import GatewaySettings
from messaging.consumer import open_consumer
from messaging.publisher import open_publisher
from messaging.settings import BrokerSettings
from producers.outbox import Outbox
from storage.blobs import BlobStore
from storage.settings import StorageSettings


@asynccontextmanager
async def services(name: str = "test") -> AsyncIterator[Services]:
    """What pools share, opened the way a consumer process does it."""
    broker, storage = BrokerSettings(), StorageSettings()
    async with open_publisher(broker, name) as publisher, open_consumer(broker, name) as consumer:
        yield Services(consumer, Outbox(publisher, BlobStore(storage.blobs)), storage, name)
        await consumer.stop_taking()


@asynccontextmanager
async def running(*pools: str | Pool) -> AsyncIterator[dict[str, RunningPool]]:
    """These pools, subscribed; drained at the end like a process that was told to stop."""
    async with services() as shared, AsyncExitStack() as stack:
        opened = {}
        for given in pools:
            pool = load_pool(given) if isinstance(given, str) else given
            opened[pool.name] = await stack.enter_async_context(pool.open(shared))
        yield opened
        await shared.consumer.stop_taking()
        for pool in opened.values():
            await pool.drain()


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
