"""`text.embed`: texts to vectors, in batches formed across jobs."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from consumers.inference.batcher import InputFailed
from consumers.inference.batching import NotFinite
from consumers.inference.embedding import Embedding
from consumers.inference.ports import ModelIdentity, Vectors
from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.jobs.text_embed import TEXT_EMBED, EmbedModel, EmbedText, EmbedTiming, TextEmbedded

if TYPE_CHECKING:
    from consumers.inference.resources import Inference

_DECIMALS = 7
_INLINE_INPUTS = 16  # results this small are built in less time than a thread's round trip takes


@handles(TEXT_EMBED, prefetch=256)
async def embed_text(task: Task[EmbedText], resources: "Inference") -> TextEmbedded:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full."""
    params = task.params
    async with resources.models.use(params.model) as model:
        try:
            embedding = await model.embed(params.inputs)
        except InputFailed as failed:
            raise _verdict(failed) from failed.__cause__
    if len(params.inputs) <= _INLINE_INPUTS:
        return _result(params, embedding, model.identity)
    return await asyncio.to_thread(_result, params, embedding, model.identity)


def _verdict(failed: InputFailed) -> Exception:
    if isinstance(failed.__cause__, NotFinite):
        return Reject(f"/inputs/{failed.index}: {failed.__cause__}; leave it out", type="input-unusable")
    if isinstance(failed.__cause__, MemoryError):
        return RetryLater(f"/inputs/{failed.index}: no memory to run it alone")
    return failed


def _result(params: EmbedText, embedding: Embedding, identity: ModelIdentity) -> TextEmbedded:
    return TextEmbedded(
        outputs=rounded(unit(embedding.vectors) if params.options.normalize else embedding.vectors),
        model=EmbedModel(**asdict(identity)),
        tokens=embedding.tokens,
        truncated=embedding.truncated,
        timing=EmbedTiming(queue_s=embedding.queue_s, run_s=embedding.run_s),
    )


def unit(vectors: Vectors) -> Vectors:
    """Rows of length one; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled


def rounded(vectors: Vectors) -> list[list[float]]:
    """As float64, since a float32 rounded to seven decimals prints with more of them."""
    values: list[list[float]] = np.round(vectors.astype(np.float64), _DECIMALS).tolist()
    return values
