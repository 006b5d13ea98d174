"""The best sandbox that this host can give, proven before anybody's program runs in it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from consumers.execution.sandbox import canary
from consumers.execution.sandbox.bubblewrap import BubblewrapSandbox, open_bubblewrap
from consumers.execution.sandbox.ports import Sandbox, SandboxUnavailable, Tier
from consumers.execution.sandbox.settings import SandboxSettings
from consumers.execution.sandbox.zygotic import ZygoticSandbox, open_zygotic


@asynccontextmanager
async def open_sandbox(settings: SandboxSettings) -> AsyncIterator[Sandbox]:
    """Raises SandboxUnavailable, with what is missing and the remedy, when no tier holds. There is no weaker way."""
    async with AsyncExitStack() as stack:
        yield await enter_best(settings, stack)


async def enter_best(settings: SandboxSettings, stack: AsyncExitStack) -> ZygoticSandbox | BubblewrapSandbox:
    """Down the ladder: the first whose walls stand. `stack` closes it."""
    try:
        async with AsyncExitStack() as trying:
            sandbox = await trying.enter_async_context(open_zygotic(settings))
            sandbox.tier = Tier.A if await canary.prove(sandbox) else Tier.A_MINUS
            stack.push_async_exit(trying.pop_all())
            return sandbox
    except SandboxUnavailable as unavailable:
        missing = unavailable
    try:
        async with AsyncExitStack() as trying:
            cold = await trying.enter_async_context(open_bubblewrap(settings))
            await canary.prove(cold)
            stack.push_async_exit(trying.pop_all())
            return cold
    except SandboxUnavailable as unavailable:
        raise SandboxUnavailable(f"{missing} (bubblewrap, instead: {unavailable})") from missing
