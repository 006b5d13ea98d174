"""Texts by the words in them."""

from typing import Any, Self

import numpy as np
from pydantic import Field
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.utils.extmath import randomized_svd

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Preprocessor, Problem
from consumers.learning.transformer import Transformer
from schemas.datasets import ColumnType
from schemas.learning import InputColumn

_BUCKETS = 2**14
_MOST_ROWS = 20_000
"""Topics are learned from so many: with all of 200,000 that took 8 s of CPU, not 2, and each fold learns its own."""
_WORDS = HashingVectorizer(n_features=_BUCKETS, ngram_range=(1, 2), alternate_sign=False, norm=None)


class Topics(Transformer):
    """Hashed words and pairs of words, weighted by TF-IDF, on principal directions: latent semantic analysis."""

    def __init__(self, dimensions: int = 32, seed: int = 0) -> None:
        self.dimensions = dimensions
        self.seed = seed

    def fit(self, values: Array, target: Array) -> Self:
        if len(values) > _MOST_ROWS:
            values = np.random.default_rng(self.seed).choice(values, _MOST_ROWS, replace=False)
        counts = _counts(values)
        self.weights_ = TfidfTransformer(sublinear_tf=True).fit(counts)
        most = min(self.dimensions, len(values))
        weighted = self.weights_.transform(counts)
        self.directions_ = randomized_svd(weighted, most, random_state=self.seed)[2].T.astype(np.float32)
        return self

    def transform(self, values: Array) -> Array:
        found: Array = self.weights_.transform(_counts(values)) @ self.directions_
        return found


def _counts(values: Array) -> Any:
    return _WORDS.transform("" if value is None else value for value in values[:, 0])


class TextsConfig(Config):
    dimensions: int = Field(default=32, ge=1, le=300)
    """Features for each text column."""


class Texts(Preprocessor[TextsConfig]):
    """Topics of texts: TF-IDF of hashed words and pairs of words, reduced to few dimensions."""

    name = "texts"
    config = TextsConfig
    stores = (Topics,)

    def takes(self, column: InputColumn) -> bool:
        return column.type in (ColumnType.TEXT, ColumnType.CATEGORY)

    def transformer(self, config: TextsConfig, column: InputColumn, encoding: Encoding, problem: Problem) -> Any:
        return Topics(config.dimensions, problem.seed)


TEXTS = Texts()
