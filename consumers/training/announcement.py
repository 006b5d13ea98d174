"""Telling which plugins there are: only training workers can import them, and the gateway lists them.

A child process looks: importing every plugin's libraries takes 360 MB, which a worker would then hold for good.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from pydantic import TypeAdapter

from schemas.plugins import PluginDescription
from storage import plugins
from storage.cancellation import end
from storage.database import Database, StoreUnavailable

if TYPE_CHECKING:
    from consumers.runtime.pool import Services

log = structlog.get_logger()

_EVERY_S = 3_600.0
_AGAIN_S = 10.0
_DESCRIPTIONS = TypeAdapter(list[PluginDescription])


@asynccontextmanager
async def announcing(services: "Services") -> AsyncIterator[None]:
    """While it is open, every hour: what nobody announces any more is forgotten after a day."""
    telling = asyncio.create_task(_keep_announcing(services.database))
    try:
        yield
    finally:
        await end(telling)


async def _keep_announcing(database: Database) -> None:
    found = await described()
    while True:
        try:
            await plugins.announce(database, found)
            await asyncio.sleep(_EVERY_S)
        except StoreUnavailable as error:
            log.warning("plugins_not_announced", error=str(error))
            await asyncio.sleep(_AGAIN_S)


async def described() -> list[PluginDescription]:
    """Nothing when they cannot be told, which is logged: every training then fails with the same reason."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "consumers.learning", stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        log.error("plugins_not_described", exit_code=process.returncode)
        return []
    return _DESCRIPTIONS.validate_json(said)
