"""`text.embed`: texts to vectors, in batches formed across jobs."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from consumers.inference.answers import remembered
from consumers.inference.ports import ModelIdentity, Vectors
from consumers.inference.text_model import Answer
from consumers.runtime.handler import Task, handles
from schemas.jobs.text_embed import TEXT_EMBED, EmbedModel, EmbedText, TextEmbedded

if TYPE_CHECKING:
    from consumers.inference.resources import Inference

_DECIMALS = 7
_INLINE_INPUTS = 16  # results this small are built in less time than a thread's round trip takes


@handles(TEXT_EMBED, prefetch=256)
@remembered
async def embed_text(task: Task[EmbedText], resources: "Inference") -> TextEmbedded:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full."""
    params = task.params
    async with resources.model(TEXT_EMBED, task.envelope.principal, params.model) as model:
        answer = await model.answer(params.inputs)
    if len(params.inputs) <= _INLINE_INPUTS:
        return _result(params, answer, model.identity)
    return await asyncio.to_thread(_result, params, answer, model.identity)


def _result(params: EmbedText, answer: Answer, identity: ModelIdentity) -> TextEmbedded:
    vectors = np.stack(answer.vectors)
    return TextEmbedded(
        outputs=rounded(unit(vectors) if params.options.normalize else vectors),
        model=EmbedModel(**asdict(identity), dimensions=vectors.shape[1]),
        **answer.told,
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
