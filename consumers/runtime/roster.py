"""Keeping this process on the roster: who it is and what its pools do, every five seconds, in the store.

Only for those who ask why a job waits. A store that is away delays neither the work nor the end of the process.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic_core import to_jsonable_python

from consumers.settings import CODE_VERSION, HOST
from storage import workers
from storage.cancellation import end
from storage.database import Database, StoreUnavailable, within
from storage.workers import WorkerReport

log = structlog.get_logger()

INTERVAL_S = 5.0
_FAREWELL_S = 1.0


@asynccontextmanager
async def listed(
    database: Database, worker: str, pools: Sequence[str], status: Callable[[], dict[str, Any]]
) -> AsyncIterator[None]:
    """On the roster while it is open. `status` tells what each pool's health page says."""
    now = datetime.now(UTC)
    about = WorkerReport(worker, HOST, CODE_VERSION, list(pools), started_at=now, heartbeat_at=now, status={})
    reporting = asyncio.create_task(_keep_reporting(database, about, status))
    try:
        yield
    finally:
        await end(reporting)
        with suppress(StoreUnavailable):
            await within(_FAREWELL_S, workers.remove(database, worker))


async def _keep_reporting(database: Database, about: WorkerReport, status: Callable[[], dict[str, Any]]) -> None:
    listed_before = True
    while True:
        try:
            told = to_jsonable_python(status())
            await workers.report(database, replace(about, heartbeat_at=datetime.now(UTC), status=told))
            listed_before = True
        except StoreUnavailable as error:
            if listed_before:  # once, not every five seconds
                log.warning("not_on_the_roster", error=str(error))
            listed_before = False
        await asyncio.sleep(INTERVAL_S)
