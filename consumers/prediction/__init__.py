"""The prediction pool: what registered models say of rows.

Importing this package must stay cheap, since discovery imports every pool: the libraries of learning are imported by
`open_resources` when a process starts to serve, not before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from consumers.prediction.settings import PredictionSettings
from consumers.runtime.worker_pool import WorkerPool

if TYPE_CHECKING:
    from consumers.prediction.resources import Serving
    from consumers.runtime.pool import Services


@asynccontextmanager
async def open_resources(services: "Services") -> AsyncIterator["Serving"]:
    """The models of this process."""
    resources = await asyncio.to_thread(import_module, "consumers.prediction.resources")  # seconds, of scikit-learn
    async with resources.open_serving(services, PredictionSettings()) as serving:
        yield serving


pool = WorkerPool("prediction", resources=open_resources)
