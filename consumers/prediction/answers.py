"""What a model says of rows, and why, for several requests at once. No clock, no event loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consumers.learning.frame import Array, Frame
from consumers.learning.model import Predictions, TrainedModel, frame_of
from consumers.runtime.verdicts import Reject
from schemas.values import JsonObject

_ROWS_AT_ONCE = 8_192
_DECIMALS = 12
"""Shares of one are summed in floating point: what lies beyond says nothing."""


@dataclass(frozen=True)
class Asked:
    rows: Sequence[JsonObject]
    explain: bool


@dataclass(frozen=True)
class Answer:
    predictions: list[Any]
    probabilities: list[list[float]] | None
    explanations: list[dict[str, float]] | None


def answers(model: TrainedModel, batch: Sequence[Asked]) -> list[Answer | Exception]:
    """One per request, in their order. A batch that raises is halved until what fails stands alone."""
    try:
        return _answers(model, batch)
    except Exception as error:  # noqa: BLE001  whatever one request provokes must not reach the others' jobs
        if len(batch) == 1:
            return [error]
        middle = len(batch) // 2
        return answers(model, batch[:middle]) + answers(model, batch[middle:])


def _answers(model: TrainedModel, batch: Sequence[Asked]) -> list[Answer | Exception]:
    frame = frame_of([row for asked in batch for row in asked.rows], model.signature)
    said = model.predict(frame)
    found: list[Answer | Exception] = []
    start = 0
    for asked in batch:
        rows = np.arange(start, start + len(asked.rows))
        part = Predictions(said.values[start : rows[-1] + 1], _rows(said.probabilities, rows))
        found.append(_answer(model, frame.take(rows), part, explain=asked.explain))
        start += len(rows)
    return found


def _rows(probabilities: Array | None, rows: Array) -> Array | None:
    return None if probabilities is None else probabilities[rows]


def _answer(model: TrainedModel, frame: Frame, said: Predictions, *, explain: bool) -> Answer | Exception:
    scores = said.probabilities if said.probabilities is not None else np.array(said.values, np.float64)
    if not np.isfinite(scores).all():
        row = int(np.argwhere(~np.isfinite(scores))[0][0])
        return Reject(f"/params/rows/{row}: the model's answer is no finite number", type="input-unusable")
    return Answer(
        said.values,
        None if said.probabilities is None else np.round(said.probabilities, _DECIMALS).tolist(),
        explanations(model, frame, said) if explain else None,
    )


def explanations(model: TrainedModel, frame: Frame, said: Predictions) -> list[dict[str, float]]:
    """Per row and column: how much what was said differs from what would be with a typical value there (occlusion,
    Zeiler and Fergus 2014). Many columns are tried in one prediction."""
    typical = frame_of([model.typical], model.signature)
    names = list(frame.columns)
    base = _scores(said, chosen := _chosen(said))
    found: list[dict[str, float]] = [{} for _ in range(frame.rows)]
    at_once = max(1, _ROWS_AT_ONCE // frame.rows)
    for start in range(0, len(names), at_once):
        group = names[start : start + at_once]
        occluded = _scores(model.predict(_occluded(frame, typical, group)), np.tile(chosen, len(group)))
        for name, without in zip(group, occluded.reshape(len(group), frame.rows), strict=True):
            for explained, moved in zip(found, (base - without).tolist(), strict=True):
                explained[name] = round(moved, _DECIMALS)
    return found


def _occluded(frame: Frame, typical: Frame, group: Sequence[str]) -> Frame:
    """The rows once for each of these columns, which has the typical value there."""
    columns = {}
    for name, values in frame.columns.items():
        repeated = np.tile(values, len(group))
        if name in group:
            at = group.index(name) * frame.rows
            repeated[at : at + frame.rows] = typical.columns[name][0]
        columns[name] = repeated
    return Frame(columns, frame.rows * len(group))


def _chosen(said: Predictions) -> Array:
    """Per row the number of the predicted class; zeros for numbers."""
    if said.probabilities is None:
        return np.zeros(len(said.values), np.intp)
    found: Array = said.probabilities.argmax(axis=1)
    return found


def _scores(said: Predictions, chosen: Array) -> Array:
    """What an explanation explains: the number, or the probability of the class that was predicted."""
    if said.probabilities is None:
        return np.array(said.values, np.float64)
    found: Array = said.probabilities[np.arange(len(chosen)), chosen]
    return found
