"""Ending tasks that talk to a store."""

import asyncio
from contextlib import suppress

_CANCEL_AGAIN_S = 0.2


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task that talks to Redis, until it listens: a cancellation that arrives while the client connects is
    swallowed (`asyncio.wait_for` of Python 3.11), and waiting for the task then never ends. Raises what it raised."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)
    with suppress(asyncio.CancelledError):
        task.result()
