"""Texts by their meaning: vectors of the bundled sentence encoder."""

from typing import Any, Self

import numpy as np
from pydantic import Field

from consumers.learning.archive import ModelBroken
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Preprocessor, Problem
from consumers.learning.transformer import Transformer
from schemas.datasets import ColumnType
from schemas.learning import InputColumn


class Embedded(Transformer):
    """Vectors of an encoder, on the principal directions of the training rows. A model's file holds those, and which
    encoder it was, whose weights stay where they are."""

    def __init__(self, dimensions: int = 64) -> None:
        self.dimensions = dimensions

    def fit(self, values: Array, target: Array) -> Self:
        # The encoder imports torch and transformers, which who only looks for plugins need not pay.
        from consumers.encoders.meaning import meanings

        vectors = meanings().of(values[:, 0]).astype(np.float64)
        self.encoder_ = meanings().sha256
        self.mean_ = vectors.mean(axis=0)
        directions = np.linalg.eigh(np.cov(vectors - self.mean_, rowvar=False))[1][:, ::-1][:, : self.dimensions]
        # Either sign would do: the largest part of each points up.
        largest = np.abs(directions).argmax(axis=0)
        self.directions_ = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
        return self

    def transform(self, values: Array) -> Array:
        from consumers.encoders.meaning import meanings

        if meanings().sha256 != self.encoder_:
            raise ModelBroken("its texts were embedded by other weights than those that are installed here")
        found: Array = (meanings().of(values[:, 0]) - self.mean_) @ self.directions_
        return found


class TextEmbeddingConfig(Config):
    dimensions: int = Field(default=64, ge=1, le=384)
    """Features for each text column."""


class TextEmbedding(Preprocessor[TextEmbeddingConfig]):
    """Meanings of texts: vectors of the bundled sentence encoder, reduced to fewer dimensions. Each distinct text
    costs a forward pass, once for all folds."""

    name = "text-embedding"
    config = TextEmbeddingConfig
    stores = (Embedded,)

    def takes(self, column: InputColumn) -> bool:
        return column.type in (ColumnType.TEXT, ColumnType.CATEGORY)

    def transformer(
        self, config: TextEmbeddingConfig, column: InputColumn, encoding: Encoding, problem: Problem
    ) -> Any:
        return Embedded(config.dimensions)


TEXT_EMBEDDING = TextEmbedding()
