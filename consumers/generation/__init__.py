"""The generation pool: language models that write many texts at a time, in a child process per device.

Importing this package, and running it, is cheap: torch is imported by the child, which starts with the first text.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consumers.encoders.folder import language_models
from consumers.generation.scribe import Scribe, open_scribe
from consumers.generation.settings import GenerationSettings
from consumers.runtime.pool import Services
from consumers.runtime.worker_pool import WorkerPool
from storage.live_text import LiveTexts, open_live_texts


@dataclass(frozen=True)
class Generation:
    """Implements `workers.Conditional`."""

    settings: GenerationSettings
    scribe: Scribe
    live: LiveTexts

    @property
    def unavailable(self) -> None:
        """Whether it can run shows with the first text."""

    def health(self) -> dict[str, object]:
        return {"models": language_models(self.settings)}


@asynccontextmanager
async def open_resources(services: Services) -> AsyncIterator[Generation]:
    settings = GenerationSettings()
    async with open_live_texts(services.storage) as live, open_scribe(settings) as scribe:
        yield Generation(settings, scribe, live)


pool = WorkerPool("generation", resources=open_resources)
