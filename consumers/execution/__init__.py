"""Code of users: runs, and tasks of their own, in the sandbox.

Nothing of it runs in this process or as a child of it that could reach what is here; see `sandbox`, which is imported
also where there is nothing of a worker: by the doctor, and by users with a Python of their own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from consumers.runtime.worker_pool import WorkerPool

if TYPE_CHECKING:
    from consumers.execution.resources import Execution
    from consumers.runtime.pool import Services


@asynccontextmanager
async def open_resources(services: "Services") -> AsyncIterator["Execution"]:
    from consumers.execution.resources import open_execution

    async with open_execution(services) as execution:
        yield execution


pool = WorkerPool("execution", resources=open_resources)
