"""`text.classify`: texts to labels, in batches formed across jobs."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from consumers.inference.ports import Labels, ModelIdentity, Vectors
from consumers.inference.text_model import Answer
from consumers.runtime.handler import Task, handles
from schemas.jobs.text_classify import (
    TEXT_CLASSIFY,
    ClassifyModel,
    ClassifyText,
    ClassifyTiming,
    LabelScore,
    TextClassified,
)

if TYPE_CHECKING:
    from consumers.inference.resources import Inference

Scores = NDArray[np.float64]

_DECIMALS = 7
_INLINE_SCORES = 1_000  # results this small are built in less time than a thread's round trip takes


@handles(TEXT_CLASSIFY, prefetch=256)
async def classify_text(task: Task[ClassifyText], resources: "Inference") -> TextClassified:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full or the registry
    away."""
    params = task.params
    async with resources.classifier(task.envelope.principal, params.model) as model:
        answer = await model.answer(params.inputs, truncate=params.options.truncate)
    if answer.vectors.size <= _INLINE_SCORES:
        return _result(params, answer, model.identity, model.labels)
    return await asyncio.to_thread(_result, params, answer, model.identity, model.labels)


def _result(params: ClassifyText, answer: Answer, identity: ModelIdentity, labels: Labels) -> TextClassified:
    return TextClassified(
        outputs=[best(scores, labels, params.options.top_k) for scores in probabilities(answer.vectors, labels)],
        model=ClassifyModel(**asdict(identity), labels=len(labels.names)),
        tokens=answer.tokens,
        truncated=answer.truncated,
        timing=ClassifyTiming(queue_s=answer.queue_s, run_s=answer.run_s),
    )


def probabilities(logits: Vectors, labels: Labels) -> Scores:
    """Shape `[n, labels]`, float64."""
    wide = logits.astype(np.float64)
    if labels.independent:
        return (1 + np.tanh(wide / 2)) / 2  # the sigmoid, without overflow
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: Scores = powers / powers.sum(axis=1, keepdims=True)
    return shares


def best(scores: Scores, labels: Labels, top_k: int | None) -> list[LabelScore]:
    """The likeliest first; among equals in the model's own order."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [LabelScore(label=labels.names[at], score=round(float(scores[at]), _DECIMALS)) for at in order]
