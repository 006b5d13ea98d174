"""The inference pool: transformer models held in memory, fed with batches formed across jobs.

Importing this package must stay cheap, since discovery imports every pool. torch and transformers are imported in the
child process of the device (`engine`) and nowhere else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from consumers.inference.registered import Registry
from consumers.inference.settings import InferenceSettings
from consumers.runtime.pool import Services
from consumers.runtime.worker_pool import WorkerPool
from storage.blobs import BlobStore

if TYPE_CHECKING:
    from consumers.inference.resources import Inference


@asynccontextmanager
async def open_resources(services: Services) -> AsyncIterator["Inference"]:
    """The models of this process. Closes after the running forward pass; what only waited is told to retry."""
    from consumers.inference.resources import open_inference

    registry = Registry(services.database, BlobStore(services.storage.blobs))
    async with open_inference(InferenceSettings(), registry) as inference:
        yield inference


pool = WorkerPool("inference", resources=open_resources)
