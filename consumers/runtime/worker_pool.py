"""A pool that runs handlers in short mode. The place for long mode, with leases and a child process, is beside it."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from consumers.runtime.handler import Handler
from consumers.runtime.pool import Services
from consumers.runtime.worker import Worker


@asynccontextmanager
async def no_resources() -> AsyncIterator[None]:
    yield None


@dataclass(frozen=True)
class WorkerPool:
    """A pool that runs handlers: the modules of its package, each declaring one.

    `resources` opens what all handlers of a process share (a model cache, a client) and closes it after the drain.
    """

    name: str
    resources: Callable[[], AbstractAsyncContextManager[Any]] = no_resources

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
        async with self.resources() as resources:
            workers = [Worker(handler, resources, services) for handler in self.handlers()]
            for worker in workers:
                await worker.start()
            yield RunningWorkers(workers)


@dataclass(frozen=True)
class RunningWorkers:
    workers: list[Worker]

    async def drain(self) -> None:
        for worker in self.workers:
            await worker.drain()

    def health(self) -> dict[str, object]:
        return {worker.kind: {"in_flight": worker.in_flight} for worker in self.workers}
