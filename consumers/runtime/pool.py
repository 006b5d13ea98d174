"""What a pool is to its process: opened with the process' services, drained when it has stopped taking work."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from messaging.consumer import ConsumerConnection
from producers.outbox import Outbox
from storage.database import Database
from storage.settings import StorageSettings


@dataclass(frozen=True)
class Services:
    """What every pool of a process shares."""

    consumer: ConsumerConnection
    outbox: Outbox
    storage: StorageSettings
    database: Database
    """Connects when it is first used: a worker that can do without the store starts without it."""
    worker: str
    """Names this process in events and dead letters."""
    background: asyncio.TaskGroup
    """For work beside the deliveries. A task that fails here ends the process, and the supervisor starts a new one:
    better than a process that looks alive and does nothing."""


class RunningPool(Protocol):
    async def drain(self) -> None:
        """Return when nothing is running any more. Called after the process stopped taking work."""

    def health(self) -> dict[str, object]:
        """What an operator wants to see on /healthz."""


class Pool(Protocol):
    @property
    def name(self) -> str: ...

    def open(self, services: Services) -> AbstractAsyncContextManager[RunningPool]:
        """Subscribe and start; on exit release everything."""
