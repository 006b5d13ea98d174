"""The workers of a pool, one for each handler."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from consumers.runtime.cancellations import Cancellations
from consumers.runtime.handler import Handler
from consumers.runtime.long_worker import LongWorker
from consumers.runtime.pool import Services
from consumers.runtime.station import Station
from consumers.runtime.worker import Worker
from consumers.settings import ConsumerSettings
from storage.jobs import JobProjection


@dataclass(frozen=True)
class RunningWorkers:
    workers: Sequence[Worker | LongWorker]

    async def drain(self) -> None:
        for worker in self.workers:
            await worker.drain()

    def health(self) -> dict[str, object]:
        return {worker.kind: worker.health() for worker in self.workers}


@asynccontextmanager
async def open_workers(
    handlers: Sequence[Handler], resources: Any, services: Services
) -> AsyncIterator[RunningWorkers]:
    """A worker for each handler, all with one ear for cancellations."""
    cancellations = Cancellations(JobProjection(services.database))
    await services.consumer.listen(cancellations.on_message, cancellations.on_connected)
    workers = [_worker(handler, resources, services, cancellations) for handler in handlers]
    for worker in workers:
        await worker.start()
    try:
        yield RunningWorkers(workers)
    finally:
        for worker in workers:
            await worker.close()


def _worker(
    handler: Handler, resources: Any, services: Services, cancellations: Cancellations
) -> Worker | LongWorker:
    settings = ConsumerSettings()
    station = Station(handler, resources, services, cancellations, settings.most_dead_letters)
    return LongWorker(station, settings.lease_s) if handler.long else Worker(station)
