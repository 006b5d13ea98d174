"""What is to be predicted: which task it is, and its values as numbers of classes or as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consumers.learning import spans
from consumers.learning.columns import TEXTUAL
from consumers.learning.frame import Array
from consumers.runtime.verdicts import Reject
from schemas.datasets import ColumnType
from schemas.learning import LearningTask

_POINTER = "/params/target"
_USUAL_CLASSES = 50
"""Distinct values up to which a column is taken for classes when nobody says so."""
_MOST_CLASSES = 1_000
_ROWS_PER_CLASS = 5
"""On average: whole numbers with fewer are a quantity."""
_REFUSED = (ColumnType.JSON, ColumnType.DATE, ColumnType.TIMESTAMP)


@dataclass(frozen=True)
class Target:
    task: LearningTask
    values: Array
    """Of the rows that have one: 0..classes-1 as int64, or float64, or entities as `spans` has them."""
    classes: list[Any] | None
    present: Array
    """Which rows of the table have one, as booleans."""
    warnings: list[str]


def understood(name: str, column: Array, kind: ColumnType, asked: LearningTask | None) -> Target:
    """Raises Reject when it cannot be predicted, or not as asked."""
    if asked is LearningTask.TOKEN_CLASSIFICATION or (
        asked is None and kind is ColumnType.JSON and spans.looks_like(column)
    ):
        return _entities(name, column, kind)
    if kind in _REFUSED:
        raise Reject(f"{_POINTER}: {name!r} is of type {kind}; choose a column of numbers, categories or booleans")
    present = np.array([value is not None for value in column], bool) if kind in TEXTUAL else np.isfinite(column)
    if not present.any():
        raise Reject(f"{_POINTER}: no row has a value in {name!r}; choose another column")
    values = column[present]
    distinct, numbers = np.unique(values, return_inverse=True)
    warnings = _about_rows(name, present)
    task, said = _task(name, values, distinct, kind, asked)
    warnings += said
    if task is LearningTask.REGRESSION:
        return Target(task, values.astype(np.float64), None, present, warnings)
    counts = np.bincount(numbers)
    classes = [_written(value, kind) for value in distinct]
    warnings += _about_classes(name, classes, counts)
    return Target(task, numbers.astype(np.int64), classes, present, warnings)


def _entities(name: str, column: Array, kind: ColumnType) -> Target:
    if kind not in TEXTUAL:
        raise Reject(f"{_POINTER}: {name!r} is of type {kind}; entities are lists of start, end and label")
    present = np.array([value is not None for value in column], bool)
    found = spans.read(column[present], _POINTER)
    warnings = _about_rows(name, present)
    if found.dropped:
        warnings.append(f"{found.dropped:,} entities that lie over another one were left out: a token has one label.")
    return Target(LearningTask.TOKEN_CLASSIFICATION, found.values, list(found.labels), present, warnings)


def _task(
    name: str, values: Array, distinct: Array, kind: ColumnType, asked: LearningTask | None
) -> tuple[LearningTask, list[str]]:
    if len(distinct) == 1:
        raise Reject(f"{_POINTER}: every row has the same value in {name!r}: there is nothing to predict")
    if asked is not None:
        _check(name, distinct, kind, asked)
        return asked, []
    whole = kind not in TEXTUAL and bool(np.all(values == np.floor(values)))
    few = len(distinct) <= _USUAL_CLASSES
    if kind in TEXTUAL or kind is ColumnType.BOOLEAN:
        if not few:
            detail = f"{name!r} has {len(distinct):,} different values, and {_USUAL_CLASSES} are taken for classes"
            raise Reject(f"{_POINTER}: {detail}; choose another column, or set /params/task to 'multiclass'")
        return _classes(distinct), []
    if whole and few and (len(distinct) == 2 or len(values) >= _ROWS_PER_CLASS * len(distinct)):
        task = _classes(distinct)
        instead = (
            f"{len(distinct)} different whole numbers were taken for classes; set task to 'regression' otherwise"
        )
        return task, [] if len(distinct) == 2 else [f"The target {name!r}: {instead}."]
    return LearningTask.REGRESSION, []


def _classes(distinct: Array) -> LearningTask:
    return LearningTask.BINARY if len(distinct) == 2 else LearningTask.MULTICLASS


def _check(name: str, distinct: Array, kind: ColumnType, asked: LearningTask) -> None:
    count = len(distinct)
    if asked is LearningTask.REGRESSION and kind in TEXTUAL:
        raise Reject(f"/params/task: a regression needs numbers, and {name!r} is of type {kind}")
    if asked is LearningTask.BINARY and count != 2:
        raise Reject(f"/params/task: binary needs two classes, and {name!r} has {count:,}; leave the task out")
    if asked is LearningTask.MULTICLASS and count == 2:
        raise Reject(f"/params/task: {name!r} has two classes: the task is 'binary'; leave it out")
    if asked.classifies and count > _MOST_CLASSES:
        raise Reject(
            f"/params/task: {name!r} has {count:,} different values, and {_MOST_CLASSES:,} classes are the most"
        )


def _written(value: Any, kind: ColumnType) -> Any:
    """As the dataset writes it."""
    if kind in TEXTUAL:
        return value
    return bool(value) if kind is ColumnType.BOOLEAN else int(value) if kind is ColumnType.INTEGER else float(value)


def _about_rows(name: str, present: Array) -> list[str]:
    left_out = len(present) - int(present.sum())
    return [f"{left_out:,} of {len(present):,} rows have no value in {name!r} and were left out."] if left_out else []


def _about_classes(name: str, classes: Sequence[Any], counts: Array) -> list[str]:
    lonely = [value for value, count in zip(classes, counts, strict=True) if count == 1]
    if not lonely:
        return []
    some = ", ".join(map(repr, lonely[:5]))
    return [f"{len(lonely)} of the classes in {name!r} have one row each, too few to be learned and judged: {some}."]
