"""The values of a text column by number: what encoders of categories are made of."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa

from consumers.learning.frame import Array
from consumers.learning.transformer import Transformer

_MANY = 10_000
"""Rows from which on a detour by Arrow is worth it: 500,000 are counted in 20 ms, not in 250."""


def _coded(values: Array) -> tuple[Sequence[str | None], Array]:
    """The distinct values, and which of them each row has. Of few rows not distinct ones, as they come."""
    if len(values) < _MANY:
        return list(values[:, 0]), np.arange(len(values))
    column = pa.array(values[:, 0], pa.string()).dictionary_encode("encode")
    return column.dictionary.to_pylist(), column.indices.to_numpy()


class Vocabulary(Transformer):
    """Numbers the most frequent values by frequency; all others share a number, and so do missing ones."""

    def __init__(self, at_most: int = 254, at_least: int = 1) -> None:
        self.at_most = at_most
        self.at_least = at_least
        """Rows that a value needs for a number of its own."""

    def fit(self, values: Array, target: Array) -> Self:
        counted = Counter[str]()
        texts, codes = _coded(values)
        for text, count in zip(texts, np.bincount(codes).tolist(), strict=True):
            if text is not None:
                counted[text] += count
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
        texts, codes = _coded(values)
        of_texts = (missing if text is None else numbers.get(text, other) for text in texts)
        return np.fromiter(of_texts, np.intp, len(texts))[codes]

    def __getstate__(self) -> dict[str, Any]:
        # As one text: skops would keep a node for each of what may be many thousand values.
        state = {**self.__dict__, "known_": json.dumps(self.known_)}
        del state["_numbers"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._learn(json.loads(state["known_"]))
