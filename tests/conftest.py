"""Real parts for every test that needs them: one private RabbitMQ, Redis and store for the session, and per test a
virtual host and a database of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import psutil
import pytest

from messaging import topology
from messaging.settings import BrokerSettings
from schemas.envelope import Envelope
from storage import database
from storage.settings import StorageSettings
from tests.support.servers import Servers, open_servers


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    async with open_servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@dataclass(frozen=True)
class Deployment:
    """A Millrace of its own on the shared servers: empty broker, empty store."""

    broker: BrokerSettings
    storage: StorageSettings
    environment: dict[str, str]


@pytest.fixture
async def bare_broker_url(servers: Servers) -> AsyncIterator[str]:
    """A virtual host without anything in it."""
    name = f"test-{uuid4().hex[:12]}"
    async with httpx.AsyncClient(base_url=str(servers.rabbitmq.management_url), auth=("guest", "guest")) as admin:
        (await admin.put(f"/api/vhosts/{name}")).raise_for_status()
        yield f"{servers.rabbitmq.url}{quote(name)}"
        (await admin.delete(f"/api/vhosts/{name}")).raise_for_status()


@pytest.fixture
async def deployment(
    servers: Servers, bare_broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    """Topology and collections applied; the environment of this process, and of its children, points at it."""
    environment = {
        "RABBITMQ_URL": bare_broker_url,
        "MONGODB_URL": servers.store.url.replace("/millrace", f"/test-{uuid4().hex[:12]}"),
        "REDIS_URL": servers.redis.url,
        "MILLRACE_DATA_DIR": str(tmp_path),
        "BLOB_URL": (tmp_path / "blobs").as_uri(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    await asyncio.gather(topology.apply(bare_broker_url), database.apply(environment["MONGODB_URL"]))
    return Deployment(BrokerSettings(), StorageSettings(), environment)


@pytest.fixture(autouse=True)
async def no_leaked_tasks() -> AsyncIterator[None]:
    """What a test starts it also ends."""
    before = asyncio.all_tasks()
    yield
    leaked = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    assert not leaked, f"still running: {leaked}"


@pytest.fixture(autouse=True, scope="session")
def no_leaked_processes() -> Iterator[None]:
    yield
    left = [process for process in psutil.Process(os.getpid()).children(recursive=True) if process.is_running()]
    assert not left, f"still running: {left}"


@pytest.fixture
def envelope() -> Envelope:
    """The command envelope of a probe."""
    return Envelope(
        id="6f1f6d0e8a7c4f5b9b1f0a2d3c4e5f60",
        source="gateway-test-1",
        type="millrace.system.probe",
        subject="0d9c1f2e3b4a5968778695a4b3c2d1e0",
        time=datetime(2026, 11, 21, 9, 30, 0, 125_000, tzinfo=UTC),
        dataschema="urn:millrace:system.probe:1",
        job_id="0d9c1f2e3b4a5968778695a4b3c2d1e0",
        kind="system.probe",
        principal="operator",
        correlation_id="request-7",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
