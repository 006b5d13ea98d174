"""From a frame to the matrix that a trainer wants: a preprocessor for each column, fitted on the training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consumers.learning.frame import Array, Frame
from consumers.learning.plugins import Config, Encoding, Matrix, Problem
from consumers.learning.registry import AnyPreprocessor, chosen, configured, preprocessors
from consumers.learning.stored import dumped, loaded
from consumers.runtime.verdicts import Reject
from schemas.datasets import ColumnType
from schemas.learning import InputColumn, Preprocessing
from schemas.values import JsonObject

_USUAL = {
    ColumnType.INTEGER: "numbers",
    ColumnType.FLOAT: "numbers",
    ColumnType.BOOLEAN: "numbers",
    ColumnType.CATEGORY: "categories",
    ColumnType.DATE: "dates",
    ColumnType.TIMESTAMP: "dates",
    ColumnType.TEXT: "texts",
}


@dataclass(frozen=True)
class Choice:
    """Which preprocessor takes a column, and how it is set."""

    plugin: AnyPreprocessor
    config: Config


def choices(inputs: Sequence[InputColumn], preprocess: Sequence[Preprocessing] = ()) -> dict[str, Choice]:
    """By column: what `preprocess` says, else what its type gets. Raises Reject, which names the parameter."""
    usual = {column.name: _USUAL[column.type] for column in inputs}
    told: dict[str, Choice] = {}
    for number, wanted in enumerate(preprocess):
        pointer = f"/params/preprocess/{number}"
        plugin = chosen(preprocessors(), wanted.use, f"{pointer}/use")
        config = configured(plugin, wanted.config, f"{pointer}/config")
        by_name = {column.name: column for column in inputs}
        for at, name in enumerate(wanted.columns):
            _suits(plugin, by_name.get(name), told, name, f"{pointer}/columns/{at}")
            told[name] = Choice(plugin, config)
    return {name: told.get(name) or _choice(plugin) for name, plugin in usual.items()}


def _suits(plugin: AnyPreprocessor, column: InputColumn | None, told: Mapping[str, Any], name: str, at: str) -> None:
    if column is None:
        raise Reject(f"{at}: {name!r} is no input column of this dataset")
    if name in told:
        raise Reject(f"{at}: {name!r} is given to a second preprocessor; name it once")
    if not plugin.takes(column):
        raise Reject(f"{at}: {plugin.name!r} takes no column of type {column.type}, as {name!r} is")


def _choice(name: str, settings: JsonObject | None = None) -> Choice:
    plugin = preprocessors()[name]
    return Choice(plugin, plugin.config.model_validate(settings or {}))


@dataclass(frozen=True)
class _Fitted:
    column: str
    transformer: Any
    features: list[str]


@dataclass(frozen=True)
class Features:
    """Fitted preprocessing in one encoding."""

    encoding: Encoding
    columns: Sequence[_Fitted]

    @classmethod
    def fitted(
        cls,
        frame: Frame,
        target: Array,
        inputs: Sequence[InputColumn],
        chosen: Mapping[str, Choice],
        encoding: Encoding,
        problem: Problem,
    ) -> tuple["Features", Matrix]:
        """Of the training rows and no others, with their matrix: it may differ from what `transform` would make of
        them, where a feature looks at the target."""
        if encoding is Encoding.RAW:
            features = cls(encoding, [])
            return features, features.transform(frame)
        fitted, blocks = [], []
        for column in inputs:
            choice = chosen[column.name]
            transformer = choice.plugin.transformer(choice.config, column, encoding, problem)
            block = transformer.fit_transform(frame.columns[column.name][:, np.newaxis], target)
            blocks.append(block)
            fitted.append(_Fitted(column.name, transformer, _names(column.name, block.shape[1])))
        features = cls(encoding, fitted)
        return features, features._matrix(frame, blocks)

    def transform(self, frame: Frame) -> Matrix:
        blocks = [each.transformer.transform(frame.columns[each.column][:, np.newaxis]) for each in self.columns]
        return self._matrix(frame, blocks)

    def _matrix(self, frame: Frame, blocks: Sequence[Array]) -> Matrix:
        values = np.concatenate(blocks, axis=1, dtype=np.float64) if blocks else np.empty((frame.rows, 0))
        return Matrix(values, self.categorical, self.names, frame)

    @property
    def names(self) -> list[str]:
        return [name for each in self.columns for name in each.features]

    @property
    def categorical(self) -> list[int]:
        marks = [getattr(each.transformer, "categorical", False) for each in self.columns for _ in each.features]
        return [number for number, mark in enumerate(marks) if mark]

    def dump(self) -> bytes:
        parts = [
            {"column": each.column, "transformer": each.transformer, "features": each.features}
            for each in self.columns
        ]
        return dumped({"encoding": str(self.encoding), "columns": parts})

    @classmethod
    def load(cls, content: bytes) -> "Features":
        """Raises ModelBroken."""
        kept = loaded(content, [each for plugin in preprocessors().values() for each in plugin.stores])
        columns = [_Fitted(each["column"], each["transformer"], each["features"]) for each in kept["columns"]]
        return cls(Encoding(kept["encoding"]), columns)


def _names(column: str, count: int) -> list[str]:
    if count == 1:
        return [column]
    return [f"{column}_{number}" for number in range(count)]
