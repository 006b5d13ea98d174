"""The notifications pool: hears of jobs that ended, and tells those who want to know."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumers.notifications.desk import Desk, open_desk
from consumers.notifications.digesting import run_digests
from consumers.notifications.listener import PREFETCH, Listener
from consumers.notifications.pushes import push_key
from consumers.notifications.settings import NotificationSettings
from consumers.runtime.pool import Services
from consumers.runtime.worker_pool import WorkerPool
from messaging import names
from storage.cancellation import end


@asynccontextmanager
async def resources(services: Services) -> AsyncIterator[Desk]:
    async with open_desk(services, NotificationSettings()) as desk:
        listener = Listener(services)
        works = (listener.run(), listener.run_bindings(), run_digests(services), _make_push_key(services))
        tasks = [services.background.create_task(work) for work in works]
        await services.consumer.subscribe(names.NOTIFICATIONS, PREFETCH, listener.on_delivery)
        try:
            yield desk
        finally:
            for task in tasks:
                await end(task)


async def _make_push_key(services: Services) -> None:
    """Before the first browser asks for it."""
    await push_key(services.database)


pool = WorkerPool("notifications", resources=resources)
