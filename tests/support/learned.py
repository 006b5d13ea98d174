"""Models of texts, fitted within a test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from consumers.learning.features import Features
from consumers.learning.frame import Frame
from consumers.learning.model import Member, TrainedModel
from consumers.learning.plugins import Encoding, Matrix, Problem
from consumers.learning.registry import trainers
from schemas.datasets import ColumnType
from schemas.learning import InputColumn, LearningTask, Signature

CLASSES = ["water", "fire"]
TEXTS = [
    f"{article} {noun} {verb} here"
    for article in ("the", "a")
    for noun, verb in (
        ("river", "flows"),
        ("mill", "turns"),
        ("rain", "falls"),
        ("flame", "burns"),
        ("coal", "glows"),
    )
]
TARGET = np.array([0, 0, 0, 1, 1] * 2)


def texts_frame(texts: Sequence[str], **more: Sequence[str]) -> Frame:
    columns = {"text": texts, **more}
    return Frame({name: np.array(values, dtype=object) for name, values in columns.items()}, len(texts))


def matrix(frame: Frame) -> Matrix:
    return Features(Encoding.RAW, []).transform(frame)


def problem(seed: int = 0) -> Problem:
    return Problem(LearningTask.TEXT_CLASSIFICATION, len(CLASSES), seed, threads=1)


def member(trainer: str, weight: float = 1.0, **config: Any) -> Member:
    """Fitted on `TEXTS` to the end."""
    plugin = trainers()[trainer]
    state = plugin.start(plugin.config.model_validate(config), problem())
    fraction = 0.0
    while fraction < 1:
        fitted = plugin.fit(state, matrix(texts_frame(TEXTS)), TARGET)
        state, fraction = fitted.state, fitted.fraction
    return Member(trainer, state, Features(Encoding.RAW, []), weight)


def trained(*members: Member, columns: Sequence[str] = ("text",)) -> TrainedModel:
    inputs = [InputColumn(name=name, type=ColumnType.TEXT, missing=False) for name in columns]
    signature = Signature(
        inputs=inputs, target="element", task=LearningTask.TEXT_CLASSIFICATION, classes=list(CLASSES)
    )
    return TrainedModel(signature, members, dict.fromkeys(columns, "the river"))


def saved(model: TrainedModel, folder: Path) -> bytes:
    file = folder / "model"
    model.save(file)
    return file.read_bytes()
