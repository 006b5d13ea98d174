"""A pool that runs handlers, short and long ones."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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


@asynccontextmanager
async def no_resources(_services: Services) -> AsyncIterator[None]:
    yield None


@runtime_checkable
class Conditional(Protocol):
    """Resources without which a process can start and do nothing yet."""

    @property
    def unavailable(self) -> str | None:
        """Why no job can run: then the pool is paused from the beginning, and probes."""

    def health(self) -> dict[str, object]:
        """What an operator wants to see on /healthz beside each kind."""


@dataclass(frozen=True)
class WorkerPool:
    """A pool that runs handlers: the modules of its package, each declaring one.

    `resources` opens what all handlers of a process share (a model cache, a client) and closes it after the drain.
    """

    name: str
    resources: Callable[[Services], AbstractAsyncContextManager[Any]] = no_resources

    def handlers(self) -> list[Handler]:
        """Discovered in the pool's package. Raises TypeError when a module declares more than one."""
        package = importlib.import_module(f"consumers.{self.name}")
        found = []
        for module_info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{module_info.name}")
            declared = [value for value in vars(module).values() if isinstance(value, Handler)]
            if len(declared) > 1:
                raise TypeError(f"{module.__name__} declares {len(declared)} handlers; one module, one kind")
            found += declared
        return found

    @asynccontextmanager
    async def open(self, services: Services) -> AsyncIterator["RunningWorkers"]:
        """Subscribe to the work queue of every handler of this pool."""
        async with (
            self.resources(services) as resources,
            open_workers(self.handlers(), resources, services) as workers,
        ):
            yield workers


@asynccontextmanager
async def open_workers(
    handlers: Sequence[Handler], resources: Any, services: Services
) -> AsyncIterator["RunningWorkers"]:
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
