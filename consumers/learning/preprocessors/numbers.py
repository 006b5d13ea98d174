"""Numbers and booleans."""

from typing import Any, Self

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Preprocessor, Problem
from consumers.learning.transformer import Transformer
from schemas.datasets import ColumnType
from schemas.learning import InputColumn

_TYPES = frozenset({ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.BOOLEAN})
_DEVIATIONS_PER_IQR = 1.349
"""Of a normal distribution: the scale is a standard deviation for numbers that behave, and robust for others."""
_FARTHEST = 10.0
"""Scaled numbers end here: one that is a million deviations away would drown every other input."""


class Finite(Transformer):
    """Infinities become the largest and smallest number seen; missing values stay."""

    def fit(self, values: Array, target: Array) -> Self:
        finite = values[np.isfinite(values)]
        self.low_, self.high_ = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        return self

    def transform(self, values: Array) -> Array:
        found = values.copy()
        found[values == np.inf] = self.high_
        found[values == -np.inf] = self.low_
        return found


class Scaled(Transformer):
    """Centred on the median, in robust deviations; a second feature marks missing values where training had some."""

    def fit(self, values: Array, target: Array) -> Self:
        finite = values[np.isfinite(values)]
        self.marks_ = bool(np.isnan(values).any())
        low, self.centre_, high = map(float, np.quantile(finite, (0.25, 0.5, 0.75)) if len(finite) else (0, 0, 0))
        # Where half of the values are the same, as in a boolean, the quartiles may be equal.
        spread = (high - low) / _DEVIATIONS_PER_IQR or (float(np.std(finite)) if len(finite) else 0.0)
        self.scale_ = spread if np.isfinite(spread) and spread > 0 else 1.0
        return self

    def transform(self, values: Array) -> Array:
        missing = np.isnan(values)
        scaled = np.clip((values - self.centre_) / self.scale_, -_FARTHEST, _FARTHEST)
        scaled[missing] = 0.0
        return np.hstack([scaled, missing]) if self.marks_ else scaled


class Numbers(Preprocessor[Config]):
    """Numbers as they are for trees; centred, scaled, imputed and with a mark of missing values for the others."""

    name = "numbers"
    stores = (Finite, Scaled)

    def takes(self, column: InputColumn) -> bool:
        return column.type in _TYPES

    def transformer(self, config: Config, column: InputColumn, encoding: Encoding, problem: Problem) -> Any:
        return Finite() if encoding is Encoding.TREES else Scaled()


NUMBERS = Numbers()
