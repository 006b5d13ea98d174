"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], *, within_s: float = 10.0, every_s: float = 0.02) -> T:
    """The first truthy answer of `look`. Fails with the last one when none comes in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while True:
        found = await look()
        if found:
            return found
        assert loop.time() < until, f"not within {within_s:g} s; last seen: {found!r}"
        await asyncio.sleep(every_s)
