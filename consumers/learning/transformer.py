"""The base of our transformers: scikit-learn's interface, without what it does around every call."""

from abc import ABC, abstractmethod
from typing import Self

from consumers.learning.frame import Array


class Transformer(ABC):
    """Takes arrays of shape [rows, 1], gives [rows, features]. What it learns is kept in attributes, for skops."""

    def fit(self, values: Array, target: Array) -> Self:
        """Learns nothing unless overridden."""
        return self

    @abstractmethod
    def transform(self, values: Array) -> Array: ...

    def fit_transform(self, values: Array, target: Array) -> Array:
        """Of the training rows: may differ from what `transform` would make of them."""
        return self.fit(values, target).transform(values)
