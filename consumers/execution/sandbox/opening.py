"""The best sandbox that this host can give, proven before anybody's program runs in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumers.execution.sandbox import canary
from consumers.execution.sandbox.ports import Sandbox, Tier
from consumers.execution.sandbox.settings import SandboxSettings
from consumers.execution.sandbox.zygotic import open_zygotic


@asynccontextmanager
async def open_sandbox(settings: SandboxSettings) -> AsyncIterator[Sandbox]:
    """Raises SandboxUnavailable, with what is missing and the remedy, when no tier holds. There is no weaker way."""
    async with open_zygotic(settings) as sandbox:
        sandbox.tier = Tier.A if await canary.prove(sandbox) else Tier.A_MINUS
        yield sandbox
