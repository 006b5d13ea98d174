"""A consumer process: opens what its pools share, runs them, and ends in order.

The end: stop taking work, let what runs finish within `drain_s`, then close. Whatever is unfinished then was never
acknowledged and goes to another worker.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from consumers.runtime.health import serve_health
from consumers.runtime.pool import Pool, RunningPool, Services
from consumers.runtime.roster import listed
from consumers.settings import WORKER, ConsumerSettings
from messaging import topology
from messaging.consumer import ConsumerConnection, open_consumer
from messaging.publisher import AmqpPublisher, open_publisher
from messaging.settings import BrokerSettings
from producers.outbox import Outbox
from storage.blobs import BlobStore
from storage.database import connect
from storage.settings import StorageSettings
from telemetry import metrics

log = structlog.get_logger()

_WATCH_INTERVAL_S = 2.0
_MAX_DEAF_S = 30.0


class Deaf(Exception):
    """The broker is back and we are no consumer of our queues: only a fresh process helps (faststream #2758)."""


async def run(pools: Sequence[Pool], port: int) -> None:
    """Run until SIGTERM or SIGINT. Raises TopologyDrift or, in a group, Deaf, BrokerUnavailable, StoreUnavailable and
    whatever ended a background task."""
    settings, broker = ConsumerSettings(), BrokerSettings()
    stopping = _stop_signal()
    await topology.require(broker.url)
    async with asyncio.TaskGroup() as background, AsyncExitStack() as stack:
        services, publisher = await stack.enter_async_context(_open_services(broker, pools, background))
        running = {pool.name: await stack.enter_async_context(pool.open(services)) for pool in pools}
        watch = _Watch(services.consumer, publisher, running)
        await stack.enter_async_context(serve_health(settings.host, port, watch.health))
        await stack.enter_async_context(listed(services.database, services.worker, list(running), watch.pools))
        log.info("started", pools=list(running), port=port)
        try:
            await watch.until(stopping)
        finally:
            log.info("stopping")
            await _drain(services.consumer, list(running.values()), settings.drain_s)
    log.info("stopped")


@asynccontextmanager
async def _open_services(
    broker: BrokerSettings, pools: Sequence[Pool], background: asyncio.TaskGroup
) -> AsyncIterator[tuple[Services, AmqpPublisher]]:
    storage = StorageSettings()
    name = f"{'+'.join(pool.name for pool in pools)} {WORKER}"
    async with (
        open_publisher(broker, name) as publisher,
        open_consumer(broker, name) as consumer,
        connect(storage) as database,
    ):
        outbox = Outbox(publisher, BlobStore(storage.blobs))
        yield Services(consumer, outbox, storage, database, WORKER, background), publisher


async def _drain(consumer: ConsumerConnection, running: list[RunningPool], limit_s: float) -> None:
    await consumer.stop_taking()
    log.info("draining")
    try:
        async with asyncio.timeout(limit_s):
            await asyncio.gather(*(pool.drain() for pool in running))
    except TimeoutError:
        log.warning("drain_cut_short", after_s=limit_s)
        await consumer.abandon()  # before the pools close and their handlers fail, which would count as an attempt


class _Watch:
    """Notices what no exception tells: that reconnection brought back a connection without its consumers."""

    def __init__(
        self, consumer: ConsumerConnection, publisher: AmqpPublisher, running: dict[str, RunningPool]
    ) -> None:
        self._consumer, self._publisher, self._running = consumer, publisher, running

    def health(self) -> dict[str, Any]:
        deaf = self._consumer.dead_subscriptions()
        ok = self._publisher.connected and not deaf
        return {
            "status": "ok" if ok else "degraded",
            "broker": "connected" if self._publisher.connected else "away",
            "not_consuming": deaf,
            "pools": self.pools(),
        }

    def pools(self) -> dict[str, Any]:
        return {name: pool.health() for name, pool in self._running.items()}

    async def until(self, stopping: asyncio.Event) -> None:
        deaf_s = 0.0
        while not stopping.is_set():
            try:
                async with asyncio.timeout(_WATCH_INTERVAL_S):
                    await stopping.wait()
            except TimeoutError:
                for queue, depth in (await self._consumer.depths()).items():
                    metrics.QUEUE_DEPTH.labels(queue).set(depth)
                deaf = self._publisher.connected and self._consumer.dead_subscriptions()
                deaf_s = deaf_s + _WATCH_INTERVAL_S if deaf else 0.0
                if deaf_s >= _MAX_DEAF_S:
                    raise Deaf(f"not consuming {deaf} although the broker is there") from None


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping
