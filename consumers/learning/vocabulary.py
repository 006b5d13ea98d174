"""The values of a text column by number: what encoders of categories are made of."""

import json
from collections import Counter
from typing import Any, Self

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.transformer import Transformer


class Vocabulary(Transformer):
    """Numbers the most frequent values by frequency; all others share a number, and so do missing ones."""

    def __init__(self, at_most: int = 254, at_least: int = 1) -> None:
        self.at_most = at_most
        self.at_least = at_least
        """Rows that a value needs for a number of its own."""

    def fit(self, values: Array, target: Array) -> Self:
        counted = Counter(value for value in values[:, 0] if value is not None)
        # Equal counts in the order of the values: the order of rows decides nothing.
        ordered = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
        self._learn([value for value, count in ordered[: self.at_most] if count >= self.at_least])
        return self

    def _learn(self, known: list[str]) -> None:
        self.known_ = known
        self._numbers = {value: number for number, value in enumerate(known)}

    def numbers(self, values: Array) -> Array:
        """Shape [rows]: from 0; the count of known values for others, and one more for missing."""
        numbers, other, missing = self._numbers, len(self.known_), len(self.known_) + 1
        found = (missing if value is None else numbers.get(value, other) for value in values[:, 0])
        return np.fromiter(found, np.intp, len(values))

    def __getstate__(self) -> dict[str, Any]:
        # As one text: skops would keep a node for each of what may be many thousand values.
        state = {**self.__dict__, "known_": json.dumps(self.known_)}
        del state["_numbers"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._learn(json.loads(state["known_"]))
