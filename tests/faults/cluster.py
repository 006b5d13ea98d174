"""A whole Millrace to hurt: real servers, and every process of ours as a process of its own.

What ends is started again, as the supervisor does it, except where a fault holds it down. Each process reaches the
broker through a proxy of its own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import psutil

from gateway.keys import new_key
from messaging import topology
from millrace.stack import probes
from millrace.stack.ports import LOOPBACK, free_port
from millrace.stack.process import Child
from storage import database
from tests.faults.proxy import AmqpProxy
from tests.support.receivers import Receiver, receiver
from tests.support.servers import Servers
from tests.support.waiting import eventually

LEASE_S = 2.0
"""Short enough that a frozen worker outsleeps it in every round."""
_ENVIRONMENT = {
    "MILLRACE_BROKER_PUBLISH_DEADLINE_S": "2",
    "MILLRACE_BROKER_HEARTBEAT_S": "2",
    "MILLRACE_STORAGE_TIMEOUT_S": "2",
    "MILLRACE_DRAIN_S": "5",
    "MILLRACE_SHUTDOWN_S": "2",
    "MILLRACE_LEASE_S": f"{LEASE_S:g}",
    "MILLRACE_NOTIFICATIONS_ALLOWED_NETWORKS": "127.0.0.0/8",
    "MILLRACE_REAPER_INTERVAL_S": "0.5",
    "MILLRACE_REAPER_RECONCILE_EVERY_S": "2",
    "MILLRACE_REAPER_ORPHAN_AFTER_S": "6",  # short: it may take a job for lost that is not, which must do no harm
}
_RESTART_AFTER_S = 0.2
_START_S = 60.0
_GRACE_S = 10.0

GATEWAY, LEDGER, LETTERS, REAPER = "gateway", "ledger", "dead-letters", "reaper"
WORKER, OTHER_WORKER = "worker", "other-worker"
_POOLS = {
    LEDGER: ("ledger",),
    LETTERS: ("dead_letters", "operations", "notifications"),
    REAPER: ("reaper",),
    WORKER: ("diagnostics",),
    OTHER_WORKER: ("diagnostics",),
}


class Process:
    """One process of ours. `keep` starts it again whenever it ended and nobody holds it down."""

    def __init__(self, name: str, health_url: str, proxy: AmqpProxy, child: Callable[[str], Child]) -> None:
        self.name, self.proxy = name, proxy
        self._health_url, self._make = health_url, child
        self._child = child("")
        self._held = False
        self.armed = False
        """Whether what runs now was told to die at a failpoint."""
        self.endings: list[int | None] = []
        """Exit statuses of those that ended without being asked, negative for a signal."""

    @property
    def log(self) -> Path:
        return self._child.log

    def start(self, failpoint: str = "") -> None:
        """Start it, to die at this failpoint if one is given."""
        self._child, self.armed = self._make(failpoint), bool(failpoint)
        self._child.start()
        self._held = False

    async def ready(self) -> None:
        """Wait until it answers, or is gone already because it was told to die."""

        async def answers() -> bool:
            try:
                await probes.http(self._health_url)
            except (httpx.HTTPError, OSError):
                return self.armed and not self._child.running
            return True

        await eventually(answers, within_s=_START_S, every_s=0.1)

    async def kill(self) -> None:
        await self._child.kill()

    async def restart(self, failpoint: str = "") -> None:
        """Ask it to end, as a deployment does, and start it anew."""
        await self.stop()
        self.start(failpoint)

    async def busy(self) -> bool:
        """Whether it holds a message. A process that does not answer might."""
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                pools = (await client.get(self._health_url)).json()["pools"]
        except httpx.TransportError:
            return True
        return any(_counts(pools))

    def freeze(self) -> None:
        """Stop it with everything that it started, like a virtual machine while its snapshot is taken."""
        self._signal_tree(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_tree(signal.SIGCONT)

    def _signal_tree(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            if self._child.pid is not None:
                process = psutil.Process(self._child.pid)
                for member in (process, *process.children(recursive=True)):
                    member.send_signal(number)

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(_RESTART_AFTER_S)
            if not self._held and not self._child.running:
                self.endings.append(self._child.returncode)
                self.start()

    async def stop(self) -> None:
        """Ask it to end, and leave it down."""
        self._held = True
        self.thaw()
        await self._child.stop(_GRACE_S)


def _counts(health: Any) -> Iterator[int]:
    """The numbers in what the pools of a process say of themselves: all of them count what is in hand."""
    if isinstance(health, dict):
        for value in health.values():
            yield from _counts(value)
    elif isinstance(health, int):
        yield health


@dataclass
class Cluster:
    servers: Servers
    vhost: str
    broker_url: str
    """Of the broker itself, past every proxy."""
    mongodb_url: str
    client: httpx.AsyncClient
    """Holds the operator's key."""
    admin: httpx.AsyncClient
    """The broker's management API."""
    processes: dict[str, Process]
    receiver: Receiver
    """Of webhooks; nothing ever happens to it."""

    async def delete_queue(self, name: str) -> None:
        (await self.admin.delete(f"/api/queues/{self.vhost}/{name}")).raise_for_status()

    async def declare_queue(self, name: str, arguments: dict[str, object]) -> None:
        declared = {"durable": True, "arguments": arguments}
        (await self.admin.put(f"/api/queues/{self.vhost}/{name}", json=declared)).raise_for_status()

    async def set_policy(self, name: str, policy: dict[str, object] | None) -> None:
        """None deletes it."""
        method = "DELETE" if policy is None else "PUT"
        url = f"/api/policies/{self.vhost}/{name}"
        (await self.admin.request(method, url, json=policy)).raise_for_status()

    async def stop_processes(self) -> None:
        await asyncio.gather(*(process.stop() for process in self.processes.values()))

    async def restore_topology(self) -> None:
        """What an operator does about a drift: `millrace topology apply`."""
        await topology.apply(self.broker_url)

    async def rabbitmqctl(self, *arguments: str) -> None:
        """The broker's own command line. It finds the node and its cookie by the node's environment."""
        pid = self.servers.rabbitmq.pid
        assert pid is not None, "the broker is down"
        environment = await asyncio.to_thread(psutil.Process(pid).environ)
        running = await asyncio.create_subprocess_exec(
            "/usr/lib/rabbitmq/bin/rabbitmqctl",
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await running.communicate()
        assert running.returncode == 0, output.decode()


@asynccontextmanager
async def open_cluster(servers: Servers, folder: Path) -> AsyncIterator[Cluster]:
    """A Millrace with a virtual host and a database of its own, ready for jobs."""
    vhost, key, port = f"faults-{uuid4().hex[:12]}", new_key(), free_port()
    broker_url = f"{servers.rabbitmq.url}{quote(vhost)}"
    mongodb_url = servers.store.url.replace("/millrace", f"/{vhost}")
    environment = _ENVIRONMENT | {
        "MONGODB_URL": mongodb_url,
        "REDIS_URL": servers.redis.url,
        "MILLRACE_DATA_DIR": str(folder),
        "BLOB_URL": (folder / "blobs").as_uri(),
        "MILLRACE_API_KEY": key,
        "MILLRACE_PORT": str(port),
    }
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(_admin(servers))
        (await admin.put(f"/api/vhosts/{vhost}")).raise_for_status()
        stack.push_async_callback(admin.delete, f"/api/vhosts/{vhost}")
        await asyncio.gather(topology.apply(broker_url), database.apply(mongodb_url))
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://{LOOPBACK}:{port}", headers={"X-API-Key": key}, timeout=10, trust_env=False
            )
        )
        processes = {}
        for name in (GATEWAY, *_POOLS):
            proxy = await stack.enter_async_context(AmqpProxy(servers.rabbitmq.port))
            processes[name] = _process(name, proxy, folder, environment, port, vhost)
        told = await stack.enter_async_context(receiver())
        cluster = Cluster(servers, vhost, broker_url, mongodb_url, client, admin, processes, told)
        stack.push_async_callback(cluster.stop_processes)
        await stack.enter_async_context(_kept(processes))
        yield cluster


def _admin(servers: Servers) -> httpx.AsyncClient:
    url = str(servers.rabbitmq.management_url)
    return httpx.AsyncClient(base_url=url, auth=("guest", "guest"), timeout=30, trust_env=False)


@asynccontextmanager
async def _kept(processes: dict[str, Process]) -> AsyncIterator[None]:
    for process in processes.values():
        process.start()
    await asyncio.gather(*(process.ready() for process in processes.values()))
    keepers = [asyncio.create_task(process.keep()) for process in processes.values()]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


def _process(
    name: str, proxy: AmqpProxy, folder: Path, environment: dict[str, str], gateway_port: int, vhost: str
) -> Process:
    port, path, arguments = gateway_port, "/health/ready", ["-m", "gateway"]
    if name != GATEWAY:
        port, path = free_port(), "/healthz"
        arguments = ["-m", "consumers", *_POOLS[name], "--port", str(port)]
    broker_url = f"amqp://guest:guest@{LOOPBACK}:{proxy.port}/{quote(vhost)}"

    def child(failpoint: str) -> Child:
        variables = os.environ | environment | {"RABBITMQ_URL": broker_url, "MILLRACE_FAILPOINTS": failpoint}
        return Child(name, [sys.executable, *arguments], log=folder / f"{name}.log", env=variables)

    return Process(name, f"http://{LOOPBACK}:{port}{path}", proxy, child)
