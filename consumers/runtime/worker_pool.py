"""A pool that runs handlers, short and long ones."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from consumers.runtime.cancellations import Cancellations
from consumers.runtime.handler import Handler
from consumers.runtime.long_worker import LongWorker
from consumers.runtime.pool import Services
from consumers.runtime.station import Station
from consumers.runtime.worker import Worker
from consumers.settings import ConsumerSettings
from schemas.kinds import kinds
from storage.jobs import JobProjection


@asynccontextmanager
async def no_resources(_services: Services) -> AsyncIterator[None]:
    yield None


@dataclass(frozen=True)
class WorkerPool:
    """A pool that runs handlers: the modules of its package that are named after a kind, each declaring one.

    `resources` opens what all handlers of a process share (a model cache, a client) and closes it after the drain.
    """

    name: str
    resources: Callable[[Services], AbstractAsyncContextManager[Any]] = no_resources

    def handlers(self) -> list[Handler]:
        """Discovered in the pool's package. Raises TypeError when a module declares more than one."""
        package = importlib.import_module(f"consumers.{self.name}")
        named = {kind.module for kind in kinds().values()}
        found = []
        for module_info in pkgutil.iter_modules(package.__path__):
            if module_info.name not in named:  # what only a child process needs is not imported here
                continue
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


@dataclass(frozen=True)
class RunningWorkers:
    workers: Sequence[Worker | LongWorker]

    async def drain(self) -> None:
        for worker in self.workers:
            await worker.drain()

    def health(self) -> dict[str, object]:
        return {worker.kind: worker.health() for worker in self.workers}
