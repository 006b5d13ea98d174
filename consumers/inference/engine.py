"""What the child of the pool's device serves: models in memory, and their forward passes.

The only module of the pool that is imported there and not in the worker, with all that it imports.
"""

import time
from collections.abc import Sequence

import torch

from consumers.devices.serving import portable
from consumers.encoders.reading import best_device
from consumers.inference.batching import Isolated, forward_isolating
from consumers.inference.calibration import calibrated, may_gain, pays
from consumers.inference.loading import (
    load_answerer,
    load_classifier,
    load_embedder,
    load_entailment,
    load_filler,
    load_tagger,
)
from consumers.inference.ports import Archive, Calibration, Encoder, Facts, Files, Input, Loaded
from consumers.inference.settings import InferenceSettings
from consumers.inference.threads import usable_cores
from consumers.inference.warming import warm
from schemas.jobs.text_classify import TEXT_CLASSIFY
from schemas.jobs.text_embed import TEXT_EMBED
from schemas.jobs.text_fill_mask import TEXT_FILL_MASK
from schemas.jobs.text_ner import TEXT_NER
from schemas.jobs.text_qa import TEXT_QA
from schemas.jobs.text_zero_shot import TEXT_ZERO_SHOT

_LOADERS = {
    TEXT_EMBED.name: load_embedder,
    TEXT_CLASSIFY.name: load_classifier,
    TEXT_ZERO_SHOT.name: load_entailment,
    TEXT_NER.name: load_tagger,
    TEXT_QA.name: load_answerer,
    TEXT_FILL_MASK.name: load_filler,
}

_CPU_BATCH_TOKENS = 4_096
_GPU_BATCH_TOKENS = 16_384


class Engine:
    def __init__(self, settings: InferenceSettings) -> None:
        self._device = best_device() if settings.device == "auto" else torch.device(settings.device)
        self._threads = settings.threads or usable_cores()
        default = _CPU_BATCH_TOKENS if self._device.type == "cpu" else _GPU_BATCH_TOKENS
        self._batch_tokens = settings.max_batch_tokens or default
        self._models: dict[int, Encoder] = {}

    def load(self, key: int, what: Files | Archive, dtype: str) -> Facts:
        """For one thread: transformers changes process-wide state while it loads. Raises Reject, MemoryError."""
        torch.set_num_threads(self._threads)
        started = time.perf_counter()
        loaded, calibration = self._chosen(what, dtype)
        encoder = self._models[key] = loaded.encoder
        warmth = warm(encoder, self._batch_tokens, self._device)
        return Facts(
            encoder.identity,
            loaded.reader,
            loaded.labels,
            padded=encoder.padded,
            nbytes=loaded.nbytes,
            load_s=time.perf_counter() - started,
            batch_tokens=self._batch_tokens,
            peak_bytes=warmth.peak_bytes,
            timings=warmth.timings,
            calibration=calibration,
        )

    def forward(self, key: int, batch: Sequence[Input]) -> Isolated:
        torch.set_num_threads(self._threads)  # PyTorch counts them per calling thread
        started = time.perf_counter()
        done = forward_isolating(self._models[key].forward, batch)
        outcomes = [portable(each) if isinstance(each, Exception) else each for each in done.outcomes]
        return Isolated(outcomes, done.computed, done.out_of_memory, time.perf_counter() - started)

    def evict(self, key: int) -> None:
        del self._models[key]

    def _chosen(self, what: Files | Archive, dtype: str) -> tuple[Loaded, Calibration | None]:
        if dtype != "auto":
            return self._loaded(what, getattr(torch, dtype)), None
        plain = self._loaded(what, torch.float32)
        if not may_gain(self._device):
            return plain, None
        narrow = self._loaded(what, torch.bfloat16)
        if narrow.encoder.identity.dtype == plain.encoder.identity.dtype:  # it has no other
            return plain, None
        found = calibrated(plain.encoder, narrow.encoder)
        return (narrow if pays(found) else plain), found

    def _loaded(self, what: Files | Archive, dtype: torch.dtype) -> Loaded:
        if isinstance(what, Archive):
            from consumers.inference.trained import load_trained  # takes as long to import as torch does

            return load_trained(what.found, what.content, what.task, self._device, dtype)
        return _LOADERS[what.kind](what.source, what.layout, self._device, dtype)
