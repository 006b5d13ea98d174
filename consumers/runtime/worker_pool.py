"""A pool that runs handlers, short and long ones.

Importing this must stay cheap: each child process imports its pool, and runs none. What workers need, such as the
libraries of broker and store, takes most of a second.
"""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consumers.runtime.handler import Handler
from schemas.kinds import kinds

if TYPE_CHECKING:
    from consumers.runtime.pool import Services
    from consumers.runtime.workers import RunningWorkers


@asynccontextmanager
async def no_resources(_services: "Services") -> AsyncIterator[None]:
    yield None


@dataclass(frozen=True)
class WorkerPool:
    """A pool that runs handlers: the modules of its package that are named after a kind, each declaring one.

    `resources` opens what all handlers of a process share (a model cache, a client) and closes it after the drain.
    """

    name: str
    resources: Callable[["Services"], AbstractAsyncContextManager[Any]] = no_resources

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
    async def open(self, services: "Services") -> AsyncIterator["RunningWorkers"]:
        """Subscribe to the work queue of every handler of this pool."""
        from consumers.runtime.workers import open_workers

        async with (
            self.resources(services) as resources,
            open_workers(self.handlers(), resources, services) as workers,
        ):
            yield workers
