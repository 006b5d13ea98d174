"""What the handlers of one process share: the resident models, one thread that computes and one that loads."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import torch

from consumers.inference.embedding import EmbeddingModel
from consumers.inference.layout import Layout, read_layout
from consumers.inference.loading import load_encoder
from consumers.inference.residency import ModelCache, Plan
from consumers.inference.settings import InferenceSettings
from consumers.inference.sources import ModelSource, find_model
from consumers.inference.threads import usable_cores
from consumers.runtime.verdicts import RetryLater
from schemas.jobs.text_embed import TEXT_EMBED

_CPU_BATCH_TOKENS = 1024  # from 512 to 4,096 throughput was the same within noise, and small batches answer sooner
_GPU_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Inference:
    models: ModelCache[EmbeddingModel]


@asynccontextmanager
async def open_inference(settings: InferenceSettings) -> AsyncIterator[Inference]:
    """Nothing is loaded until the first job asks for it."""
    threads = settings.threads or usable_cores()
    torch.set_num_threads(threads)
    # PyTorch counts threads per calling thread, so the one that computes is told itself.
    compute = ThreadPoolExecutor(1, "inference-compute", torch.set_num_threads, (threads,))
    loader = ThreadPoolExecutor(1, "inference-loader")
    models = ModelCache(partial(_find, settings, compute, loader), settings.memory_bytes)
    try:
        yield Inference(models)
    finally:
        await models.close()
        compute.shutdown()
        loader.shutdown()


async def _find(settings: InferenceSettings, compute: Executor, loader: Executor, name: str) -> Plan[EmbeddingModel]:
    source = await asyncio.to_thread(find_model, name, settings)
    layout = await asyncio.to_thread(read_layout, source)

    async def load() -> EmbeddingModel:
        return await asyncio.get_running_loop().run_in_executor(loader, _load, settings, compute, source, layout)

    return Plan(layout.weights_bytes, load)


def _load(settings: InferenceSettings, compute: Executor, source: ModelSource, layout: Layout) -> EmbeddingModel:
    device = _device(settings.device)
    try:
        loaded = load_encoder(source, layout, device, getattr(torch, settings.dtype))
    except MemoryError as error:
        raise RetryLater(f"no memory for {source.name!r} on {device}: {error}") from error
    batch_tokens = settings.max_batch_tokens or (_CPU_BATCH_TOKENS if device.type == "cpu" else _GPU_BATCH_TOKENS)
    return EmbeddingModel(loaded.encoder, loaded.nbytes, compute, batch_tokens, kind=TEXT_EMBED.name)


def _device(wanted: str) -> torch.device:
    if wanted != "auto":
        return torch.device(wanted)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")
