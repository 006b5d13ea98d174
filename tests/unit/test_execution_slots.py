"""How many programs a process runs at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from consumers.execution.resources import Execution, Walls
from consumers.execution.sandbox.ports import Ended, Limits, Program, Sandbox, Tier
from consumers.execution.settings import ExecutionSettings
from schemas.execution import Ending, Packages, Stream, Usage

PROGRAM = Program("pass", Packages.PLAIN, Limits(1, 2**20, 1, 1, 1, 1))
ENDED = Ended(Ending.OK, 0, None, Usage(wall_s=0, cpu_s=0, peak_memory_bytes=0))


class Counting:
    """Its programs take a few turns of the loop, so that all that may begin have begun."""

    tier = Tier.B

    def __init__(self) -> None:
        self.running = self.most = 0

    async def run(self, program: Program, artifacts: Path, output: Callable[[Stream, bytes], None]) -> Ended:
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(20):
            await asyncio.sleep(0)
        self.running -= 1
        return ENDED


class Nowhere:
    @asynccontextmanager
    async def of(self, job_id: str) -> AsyncIterator[None]:
        yield


async def test_all_kinds_share_the_slots() -> None:
    sandbox = Counting()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Sandbox]:
        yield sandbox

    async with AsyncExitStack() as stack:
        nobody: Any = SimpleNamespace()
        output: Any = Nowhere()
        execution = Execution(nobody, ExecutionSettings(slots=2), Walls(opened, stack), output)
        envelopes: list[Any] = [SimpleNamespace(job_id="1", kind=kind) for kind in ("code.run", "task.run") * 3]
        await asyncio.gather(*(execution.run(envelope, PROGRAM, Path()) for envelope in envelopes))
    assert sandbox.most == 2
