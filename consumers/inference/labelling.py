"""What kinds with scores share: logits to probabilities, and results that are built beside the loop."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from consumers.inference.ports import Labels, ModelIdentity
from consumers.inference.text_model import Answer
from schemas.texts import LabellingModel

Scores = NDArray[np.float64]
R = TypeVar("R")

DECIMALS = 7
_INLINE_NUMBERS = 1_000  # results this small are built in less time than a thread's round trip takes


async def built(build: Callable[[Answer], R], answer: Answer) -> R:
    """In a thread when it takes long."""
    if sum(vector.size for vector in answer.vectors) <= _INLINE_NUMBERS:
        return build(answer)
    return await asyncio.to_thread(build, answer)


def probabilities(logits: NDArray[np.floating[Any]], labels: Labels) -> Scores:
    """Along the last axis; float64."""
    wide = logits.astype(np.float64)
    if labels.independent:
        return (1 + np.tanh(wide / 2)) / 2  # the sigmoid, without overflow
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    shares: Scores = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def answering(identity: ModelIdentity, labels: int) -> LabellingModel:
    return LabellingModel(**asdict(identity), labels=labels)


def rounded(score: Any) -> float:
    return round(float(score), DECIMALS)
