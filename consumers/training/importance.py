"""Permutation importance: how much worse a model is when it cannot know a column.

L. Breiman, "Random Forests", Machine Learning 45, 2001, for any model: the column is shuffled, the rest stays.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from consumers.learning.frame import Array, Frame
from schemas.model_card import Importance

_REPEATS = 5
_MOST_ROWS = 2_000


@dataclass(frozen=True)
class Judge:
    """A model, and rows that it was not fitted on."""

    predict: Callable[[Frame], Array]
    frame: Frame
    target: Array


def importances(
    judges: Sequence[Judge],
    loss: Callable[[Array, Array], float],
    seed: int,
    within_s: float,
    between: Callable[[], None],
) -> list[Importance]:
    """Most important first. Columns that time was too short for are left out; the first round is always made."""
    until = time.monotonic() + within_s
    found: dict[str, list[float]] = {}
    rng = np.random.default_rng([seed, 4])
    some = [_thinned(judge, rng, _MOST_ROWS // len(judges)) for judge in judges]
    rests = [loss(judge.target, judge.predict(judge.frame)) for judge in some]
    for repeat in range(_REPEATS):
        for name in some[0].frame.columns:
            if repeat and time.monotonic() > until:
                break
            losses = [
                loss(judge.target, judge.predict(_shuffled(judge.frame, name, rng))) - rest
                for judge, rest in zip(some, rests, strict=True)
            ]
            found.setdefault(name, []).append(float(np.mean(losses)))
            between()
    told = [
        Importance(column=name, mean=float(np.mean(each)), std=float(np.std(each))) for name, each in found.items()
    ]
    return sorted(told, key=lambda each: -each.mean)


def _thinned(judge: Judge, rng: np.random.Generator, most: int) -> Judge:
    rows = np.sort(rng.permutation(judge.frame.rows)[: max(most, 1)])
    return Judge(judge.predict, judge.frame.take(rows), judge.target[rows])


def _shuffled(frame: Frame, name: str, rng: np.random.Generator) -> Frame:
    return Frame({**frame.columns, name: rng.permutation(frame.columns[name])}, frame.rows)
