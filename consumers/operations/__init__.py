"""The operations pool: jobs that operators start to put things right."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumers.operations.abandoned import put_back_for_ever
from consumers.operations.desk import Desk
from consumers.runtime.pool import Services
from consumers.runtime.worker_pool import WorkerPool
from storage.cancellation import end
from storage.dead_letters import LetterStore


@asynccontextmanager
async def resources(services: Services) -> AsyncIterator[Desk]:
    desk = Desk(services.database, LetterStore(services.database), services.outbox, services.worker)
    putting_back = services.background.create_task(put_back_for_ever(desk))
    try:
        yield desk
    finally:
        await end(putting_back)


pool = WorkerPool("operations", resources=resources)
