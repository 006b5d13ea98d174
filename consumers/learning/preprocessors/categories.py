"""Categories, and texts that are used like them."""

from typing import Any, Self

import numpy as np
from pydantic import Field
from sklearn.preprocessing import TargetEncoder

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Preprocessor, Problem
from consumers.learning.vocabulary import Vocabulary
from schemas.datasets import ColumnType
from schemas.learning import InputColumn

MOST_CODES = 254
"""HistGradientBoosting has 255 bins for a category, one of which is for missing values."""
_MOST_KNOWN = 100_000


class CategoriesConfig(Config):
    one_hot_up_to: int = Field(default=30, ge=0, le=1_000)
    """Distinct values. A column with more is encoded by the mean target of each, cross-fitted."""
    codes_up_to: int = Field(default=MOST_CODES - 1, ge=0, le=MOST_CODES - 1)
    """The same for trees, which take each value's number."""
    at_least: int = Field(default=3, ge=1)
    """Rows that a value needs to be told from other rare ones."""


class Codes(Vocabulary):
    """One feature: the number of the category, NaN where it is missing; rare and unknown ones share a number."""

    categorical = True

    def transform(self, values: Array) -> Array:
        codes = self.numbers(values).astype(np.float64)
        codes[codes == len(self.known_) + 1] = np.nan
        return codes[:, np.newaxis]


class OneHot(Vocabulary):
    """A feature for each category, one for rare and unknown ones, and one for missing ones."""

    def transform(self, values: Array) -> Array:
        found = np.zeros((len(values), len(self.known_) + 2))
        found[np.arange(len(values)), self.numbers(values)] = 1.0
        return found


class TargetMeans(Vocabulary):
    """The mean target of the category's rows, shrunk towards that of all; for classes the share of each class.

    Training rows get the means of other folds, so that a category with one row does not tell that row's target
    (scikit-learn's TargetEncoder; Micci-Barreca 2001).
    """

    def __init__(self, at_least: int = 1, seed: int = 0, classes: int = 0) -> None:
        super().__init__(_MOST_KNOWN, at_least)
        self.seed = seed
        self.classes = classes

    def fit(self, values: Array, target: Array) -> Self:
        super().fit(values, target)
        self._means(values, target)
        return self

    def fit_transform(self, values: Array, target: Array) -> Array:
        super().fit(values, target)
        return self._means(values, target)

    def transform(self, values: Array) -> Array:
        means: Array = self.means_[self.numbers(values)]
        return means

    def _means(self, values: Array, target: Array) -> Array:
        """Learns those of all rows, and returns for each row those of the other folds."""
        numbers = self.numbers(values)[:, np.newaxis]
        every = np.arange(len(self.known_) + 2)[:, np.newaxis]
        of_others, of_all = [], []
        for wanted in self._targets(target):
            # A share is the mean of a target of 0 and 1: so a fold without a class is no special case.
            encoder = TargetEncoder(target_type="continuous", cv=min(5, len(values)), random_state=self.seed)
            of_others.append(encoder.fit_transform(numbers, wanted))
            of_all.append(encoder.transform(every))
        self.means_ = np.hstack(of_all)
        return np.hstack(of_others)

    def _targets(self, target: Array) -> list[Array]:
        if self.classes == 0:
            return [target]
        told = range(1, 2) if self.classes == 2 else range(self.classes)
        return [(target == each).astype(np.float64) for each in told]


class Categories(Preprocessor[CategoriesConfig]):
    """Numbers of categories for trees, one feature per category for the others; many become mean targets."""

    name = "categories"
    stores = (Codes, OneHot, TargetMeans)
    config = CategoriesConfig

    def takes(self, column: InputColumn) -> bool:
        return column.type in (ColumnType.CATEGORY, ColumnType.TEXT)

    def transformer(self, config: CategoriesConfig, column: InputColumn, encoding: Encoding, problem: Problem) -> Any:
        trees = encoding is Encoding.TREES
        few = config.codes_up_to if trees else config.one_hot_up_to
        if column.categories is None or len(column.categories) > few:
            return TargetMeans(config.at_least, problem.seed, problem.classes)
        return Codes(few, config.at_least) if trees else OneHot(few, config.at_least)


CATEGORIES = Categories()
