"""What the handlers of one process share: the resident models, one thread that computes and one that loads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import torch

from consumers.encoders.layout import read_layout
from consumers.encoders.reading import best_device
from consumers.encoders.sources import find_model
from consumers.inference.loading import (
    load_answerer,
    load_classifier,
    load_embedder,
    load_entailment,
    load_filler,
    load_tagger,
)
from consumers.inference.ports import Loaded
from consumers.inference.registered import Registered, Registry
from consumers.inference.residency import ModelCache, Plan
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_model import TextModel
from consumers.inference.threads import usable_cores
from consumers.inference.trained import load_trained
from consumers.runtime.verdicts import RetryLater
from schemas.jobs.text_classify import TEXT_CLASSIFY
from schemas.jobs.text_embed import TEXT_EMBED
from schemas.jobs.text_fill_mask import TEXT_FILL_MASK
from schemas.jobs.text_ner import TEXT_NER
from schemas.jobs.text_qa import TEXT_QA
from schemas.jobs.text_zero_shot import TEXT_ZERO_SHOT
from schemas.kinds import AnyKind
from schemas.learning import LearningTask
from schemas.texts import REGISTRY_PREFIX

_CPU_BATCH_TOKENS = 1024  # from 512 to 4,096 throughput was the same within noise, and small batches answer sooner
_GPU_BATCH_TOKENS = 16_384

_READERS = {
    TEXT_EMBED.name: load_embedder,
    TEXT_CLASSIFY.name: load_classifier,
    TEXT_ZERO_SHOT.name: load_entailment,
    TEXT_NER.name: load_tagger,
    TEXT_QA.name: load_answerer,
    TEXT_FILL_MASK.name: load_filler,
}
_TASKS = {
    TEXT_CLASSIFY.name: LearningTask.TEXT_CLASSIFICATION,
    TEXT_NER.name: LearningTask.TOKEN_CLASSIFICATION,
}
"""What a registered model must have learned."""


@dataclass(frozen=True)
class Wanted:
    """A model for a job kind: the same files serve each of them differently."""

    kind: str
    model: str | Registered

    def __str__(self) -> str:
        return f"{self.kind}/{self.model}"


@dataclass(frozen=True)
class Inference:
    models: ModelCache[Wanted, TextModel]
    registry: Registry

    @asynccontextmanager
    async def model(self, kind: AnyKind, principal: str, name: str) -> AsyncIterator[TextModel]:
        """A registered model is looked up each time: aliases move, and it must be the principal's own. Raises Reject
        or RetryLater."""
        registered = name.startswith(REGISTRY_PREFIX)
        model = await self.registry.find(principal, name) if registered else name
        async with self.models.use(Wanted(kind.name, model)) as found:
            yield found


@asynccontextmanager
async def open_inference(settings: InferenceSettings, registry: Registry) -> AsyncIterator[Inference]:
    """Nothing is loaded until the first job asks for it."""
    threads = settings.threads or usable_cores()
    torch.set_num_threads(threads)
    # PyTorch counts threads per calling thread, so the one that computes is told itself.
    compute = ThreadPoolExecutor(1, "inference-compute", torch.set_num_threads, (threads,))
    loader = ThreadPoolExecutor(1, "inference-loader")
    shelf = _Shelf(settings, registry, compute, loader)
    models = ModelCache(shelf.find, settings.memory_bytes)
    try:
        yield Inference(models, registry)
    finally:
        await models.close()
        compute.shutdown()
        loader.shutdown()


@dataclass(frozen=True)
class _Shelf:
    settings: InferenceSettings
    registry: Registry
    compute: Executor
    loader: Executor

    async def find(self, wanted: Wanted) -> Plan[TextModel]:
        if isinstance(wanted.model, Registered):
            return Plan(wanted.model.file.bytes, partial(self._load_registered, wanted, wanted.model))
        source = await asyncio.to_thread(find_model, wanted.model, self.settings)
        layout = await asyncio.to_thread(read_layout, source)
        read = partial(_READERS[wanted.kind], source, layout, self.device, self.dtype)
        return Plan(layout.weights_bytes, partial(self._load, wanted, read))

    async def _load_registered(self, wanted: Wanted, found: Registered) -> TextModel:
        content = await self.registry.content(found)
        read = partial(load_trained, found, content, _TASKS[wanted.kind], self.device, self.dtype)
        return await self._load(wanted, read)

    async def _load(self, wanted: Wanted, read: Callable[[], Loaded]) -> TextModel:
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self.loader, read)
        except MemoryError as error:
            raise RetryLater(f"no memory for {wanted} on {self.device}: {error}") from error
        return TextModel(loaded, self.compute, self._batch_tokens, kind=wanted.kind)

    @property
    def device(self) -> torch.device:
        return best_device() if self.settings.device == "auto" else torch.device(self.settings.device)

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = getattr(torch, self.settings.dtype)
        return found

    @property
    def _batch_tokens(self) -> int:
        default = _CPU_BATCH_TOKENS if self.device.type == "cpu" else _GPU_BATCH_TOKENS
        return self.settings.max_batch_tokens or default
