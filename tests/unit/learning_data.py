"""Tables for tests of learning: scikit-learn's bundled sets, and ways to fit a trainer to them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from consumers.learning.features import Features, choices
from consumers.learning.frame import Array, Frame
from consumers.learning.plugins import Matrix, Problem
from consumers.learning.registry import AnyTrainer
from schemas.datasets import ColumnType
from schemas.learning import InputColumn, LearningTask

QUICK = {"iterations": 60, "trees": 60, "epochs": 20}
"""Settings for which seconds are enough, and which still make more than one chunk."""
_BINS = 4


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to judge by, with one category and some missing values among the inputs."""

    problem: Problem
    inputs: list[InputColumn]
    train: tuple[Frame, Array]
    test: tuple[Frame, Array]


def binary() -> Split:
    return _split(load_breast_cancer(), LearningTask.BINARY, 2)


def multiclass() -> Split:
    return _split(load_wine(), LearningTask.MULTICLASS, 3)


def regression() -> Split:
    return _split(load_diabetes(), LearningTask.REGRESSION, 0)


def _split(bundled: Any, task: LearningTask, classes: int) -> Split:
    rng = np.random.default_rng(7)
    order = rng.permutation(len(bundled.target))
    columns: dict[str, Array] = {f"x{number}": column.copy() for number, column in enumerate(bundled.data[order].T)}
    edges = np.quantile(columns["x0"], np.linspace(0, 1, _BINS + 1)[1:-1])
    columns["band"] = np.array([f"b{band}" for band in np.digitize(columns["x0"], edges)], object)
    for name, nothing in (("x1", np.nan), ("band", None)):
        columns[name][rng.random(len(order)) < 0.1] = nothing
    target = bundled.target[order].astype(np.int64 if classes else np.float64)
    frame = Frame(columns, len(order))
    rows = np.arange(len(order))
    train, test = np.split(rows, [len(rows) * 3 // 4])
    inputs = [_described(name, values) for name, values in columns.items()]
    return Split(
        Problem(task, classes, 0, 1), inputs, (frame.take(train), target[train]), (frame.take(test), target[test])
    )


def _described(name: str, values: Array) -> InputColumn:
    if values.dtype == object:
        known = sorted({value for value in values if value is not None})
        return InputColumn(name=name, type=ColumnType.CATEGORY, missing=True, categories=known)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return InputColumn(name=name, type=ColumnType.FLOAT, missing=bool(np.isnan(values).any()), min=low, max=high)


def featured(trainer: AnyTrainer, split: Split) -> tuple[Features, Matrix]:
    frame, target = split.train
    return Features.fitted(frame, target, split.inputs, choices(split.inputs), trainer.encoding, split.problem)


def quick(trainer: AnyTrainer) -> Any:
    known = {name: value for name, value in QUICK.items() if name in trainer.config.model_fields}
    return trainer.config.model_validate(known)


def fitted(trainer: AnyTrainer, problem: Problem, data: Matrix, target: Array, *, stored: bool = False) -> Any:
    """To the end; with `stored`, dumped and loaded before every chunk."""
    state, fraction = trainer.start(quick(trainer), problem), 0.0
    while fraction < 1:
        if stored:
            state = trainer.load(trainer.dump(state))
        done = trainer.fit(state, data, target)
        assert fraction < done.fraction <= 1
        state, fraction = done.state, done.fraction
    return state
