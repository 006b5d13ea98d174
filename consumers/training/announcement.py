"""Telling which plugins there are: only training workers can import them, and the gateway lists them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from consumers.learning.registry import descriptions
from storage import plugins
from storage.cancellation import end
from storage.database import Database, StoreUnavailable

if TYPE_CHECKING:
    from consumers.runtime.pool import Services

log = structlog.get_logger()

_EVERY_S = 3_600.0
_AGAIN_S = 10.0


@asynccontextmanager
async def announcing(services: "Services") -> AsyncIterator[None]:
    """While it is open, every hour: what nobody announces any more is forgotten after a day."""
    telling = asyncio.create_task(_keep_announcing(services.database))
    try:
        yield
    finally:
        await end(telling)


async def _keep_announcing(database: Database) -> None:
    found = await asyncio.to_thread(descriptions)  # the first call imports every plugin's libraries
    while True:
        try:
            await plugins.announce(database, found)
            await asyncio.sleep(_EVERY_S)
        except StoreUnavailable as error:
            log.warning("plugins_not_announced", error=str(error))
            await asyncio.sleep(_AGAIN_S)
