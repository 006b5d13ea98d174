"""The inference pool: transformer models held in memory, fed with batches formed across jobs.

Importing this package must stay cheap, since discovery imports every pool: torch and transformers are imported by
`open_resources` when a process starts to serve, not before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from consumers.inference.registered import Registry
from consumers.inference.settings import InferenceSettings
from consumers.runtime.pool import Services
from consumers.runtime.worker_pool import WorkerPool
from storage.answers import open_kept_answers
from storage.blobs import BlobStore

if TYPE_CHECKING:
    from consumers.inference.resources import Inference


@asynccontextmanager
async def open_resources(services: Services) -> AsyncIterator["Inference"]:
    """The models of this process. Closes after the running forward pass; what only waited is told to retry."""
    resources = await asyncio.to_thread(import_module, "consumers.inference.resources")  # seconds, of torch
    registry = Registry(services.database, BlobStore(services.storage.blobs))
    async with open_kept_answers(services.storage) as kept:
        answers = resources.Answers(kept, registry) if services.storage.answers_ttl_s else None
        async with resources.open_inference(InferenceSettings(), registry, answers) as inference:
            yield inference


pool = WorkerPool("inference", resources=open_resources)
