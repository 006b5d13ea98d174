"""The workers of a pool, one for each handler."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from consumers.runtime.cancellations import Cancellations
from consumers.runtime.handler import Handler
from consumers.runtime.long_worker import LongWorker
from consumers.runtime.pool import Services
from consumers.runtime.station import Station
from consumers.runtime.worker import Worker
from consumers.settings import ConsumerSettings
from storage.jobs import JobProjection


@runtime_checkable
class Conditional(Protocol):
    """Resources without which a process can start and do nothing yet."""

    @property
    def unavailable(self) -> str | None:
        """Why no job can run: then the pool is paused from the beginning, and probes."""

    def health(self) -> dict[str, object]:
        """What an operator wants to see on /healthz beside each kind."""


@dataclass(frozen=True)
class RunningWorkers:
    workers: Sequence[Worker | LongWorker]
    resources: Any

    async def drain(self) -> None:
        for worker in self.workers:
            await worker.drain()

    def health(self) -> dict[str, object]:
        beside = self.resources.health() if isinstance(self.resources, Conditional) else {}
        return {**beside, **{worker.kind: worker.health() for worker in self.workers}}


@asynccontextmanager
async def open_workers(
    handlers: Sequence[Handler], resources: Any, services: Services
) -> AsyncIterator[RunningWorkers]:
    """A worker for each handler, all with one ear for cancellations."""
    cancellations = Cancellations(JobProjection(services.database))
    await services.consumer.listen(cancellations.on_message, cancellations.on_connected)
    stations = [_station(handler, resources, services, cancellations) for handler in handlers]
    if isinstance(resources, Conditional) and (why := resources.unavailable):
        for station in stations:
            station.ceiling.halt(why)
    workers = [_worker(station) for station in stations]
    for worker in workers:
        await worker.start()
    try:
        yield RunningWorkers(workers, resources)
    finally:
        for worker in workers:
            await worker.close()


def _station(handler: Handler, resources: Any, services: Services, cancellations: Cancellations) -> Station:
    return Station(handler, resources, services, cancellations, ConsumerSettings().most_dead_letters)


def _worker(station: Station) -> Worker | LongWorker:
    return LongWorker(station, ConsumerSettings().lease_s) if station.handler.long else Worker(station)
