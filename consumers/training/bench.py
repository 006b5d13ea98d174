"""What trials are measured on: the rows, their divisions, and their features for whoever asks."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from consumers.learning.frame import Array, Frame
from consumers.learning.plugins import Encoding, Matrix, Metric, Problem, Trainer
from consumers.training.splits import Division, Rows


class Transforms(Protocol):
    def transform(self, frame: Frame) -> Matrix: ...


FitFeatures = Callable[[Frame, Array, Encoding], tuple[Transforms, Matrix]]
"""Features of these rows and no others, with their matrix."""


@dataclass(frozen=True)
class Bench:
    problem: Problem
    trainers: Mapping[str, Trainer[Any, Any]]
    metric: Metric
    frame: Frame
    target: Array
    division: Division
    features: "FeatureCache"

    def loss(self, target: Array, predicted: Array) -> float:
        """The metric, turned so that less is better."""
        score = self.metric.score(target, predicted)
        return -score if self.metric.greater_is_better else score

    def matrices(self, encoding: Encoding, train: Rows, valid: Rows) -> tuple[Matrix, Matrix]:
        """Features are fitted on the training rows alone: what they learn of others would be known before it is
        asked."""
        return self.features.get(encoding, self.frame, self.target, train, valid)


class FeatureCache:
    """Every trial asks for the same folds: their matrices are kept as far as memory allows."""

    def __init__(self, fit: FitFeatures, most_bytes: int) -> None:
        self._fit, self._most_bytes = fit, most_bytes
        self._kept: OrderedDict[tuple[Encoding, bytes, bytes], tuple[Matrix, Matrix]] = OrderedDict()

    def get(self, encoding: Encoding, frame: Frame, target: Array, train: Rows, valid: Rows) -> tuple[Matrix, Matrix]:
        key = (encoding, _digest(train), _digest(valid))
        if key not in self._kept:
            self._make_room()
            features, learned_from = self._fit(frame.take(train), target[train], encoding)
            self._kept[key] = (learned_from, features.transform(frame.take(valid)))
        self._kept.move_to_end(key)
        return self._kept[key]

    def clear(self) -> None:
        """When the search is over: its folds are not asked for again."""
        self._kept.clear()

    def _make_room(self) -> None:
        while self._kept and sum(map(_bytes, self._kept.values())) > self._most_bytes:
            self._kept.popitem(last=False)


def _bytes(matrices: tuple[Matrix, Matrix]) -> int:
    columns = [column for matrix in matrices for column in matrix.frame.columns.values()]
    return sum(each.nbytes for each in [*columns, *(matrix.values for matrix in matrices)])


def _digest(rows: Rows) -> bytes:
    return hashlib.blake2b(rows.tobytes(), digest_size=16).digest()
