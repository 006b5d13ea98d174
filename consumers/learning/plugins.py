"""Plugins: trainers, preprocessors and metrics.

Ours are modules below `consumers.learning.trainers`, `.preprocessors` and `.metrics`; others are brought by installed
packages through the entry points `millrace.trainers`, `millrace.preprocessors` and `millrace.metrics`, each of which
names an instance. Two plugins of one kind must not share a name.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from consumers.learning.frame import Array, Frame
from schemas.learning import InputColumn, LearningTask
from schemas.plugins import PluginKind


class Config(BaseModel):
    """Settings of a plugin. Unknown ones are refused, so that a typo is not silently a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


C = TypeVar("C", bound=Config)
S = TypeVar("S")


class Plugin(ABC):
    """The first line of a plugin's docstring is its summary."""

    kind: ClassVar[PluginKind]
    name: ClassVar[str]
    config: ClassVar[type[Config]] = Config
    tasks: ClassVar[frozenset[LearningTask]] = frozenset(LearningTask) - {LearningTask.TOKEN_CLASSIFICATION}


class Encoding(StrEnum):
    """In which form a trainer wants its inputs."""

    TREES = "trees"
    """One float64 column per input or more: categories as ordinal codes, NaN where a value is missing."""
    DENSE = "dense"
    """No NaN, numbers scaled, categories one-hot or target-encoded, texts as vectors."""
    RAW = "raw"
    """The frame as it is."""


@dataclass(frozen=True)
class Matrix:
    """Inputs in the form that a trainer wants."""

    values: Array
    """Shape [rows, features], float64; of shape [rows, 0] for `Encoding.RAW`."""
    categorical: Sequence[int]
    """Which features are codes of categories (`Encoding.TREES` only)."""
    names: Sequence[str]
    """Of the features."""
    frame: Frame


@dataclass(frozen=True)
class Problem:
    """What is to be learned, apart from the rows."""

    task: LearningTask
    classes: int
    """How many; 0 for a regression. Targets are 0..classes-1 as int64, or float64."""
    seed: int
    threads: int


@dataclass(frozen=True)
class Fitted(Generic[S]):
    """What one chunk of fitting led to."""

    state: S
    fraction: float
    """How much of what the settings ask for is done, from 0 to 1; at 1 there is nothing more to fit."""
    worth_judging: bool = True
    """Whether predictions are worth their time yet: a trainer whose chunks are small beside the rows says when."""


class Trainer(Plugin, Generic[C, S]):
    """Fits in chunks, so that progress, early stopping, cancelling, checkpoints and resuming come for free.

    What `chunks` calls of `fit` lead to must depend only on their number, the data, the settings and the seed, also
    when the state was dumped and loaded in between: that is what makes a resumed training bit-identical.
    """

    kind = PluginKind.TRAINER
    encoding: ClassVar[Encoding]

    @abstractmethod
    def start(self, config: C, problem: Problem) -> S:
        """The state before the first chunk."""

    @abstractmethod
    def fit(self, state: S, data: Matrix, target: Array) -> Fitted[S]:
        """One chunk more: some seconds of work at most, on tables that fit into memory. May change `state` in place:
        whoever needs the earlier one dumps it before."""

    @abstractmethod
    def predict(self, state: S, data: Matrix) -> Array:
        """Shape [rows] for a regression, [rows, classes] of probabilities for a classification; for entities as
        `consumers.learning.spans` has them."""

    @abstractmethod
    def dump(self, state: S) -> bytes:
        """The state as bytes without pickle: skops, safetensors, or a library's own text."""

    @abstractmethod
    def load(self, content: bytes) -> S: ...

    def suggest(self, trial: Any, problem: Problem, rows: int) -> C | None:
        """Settings for one trial of the search (an `optuna.Trial`); None when the trainer takes no part in it."""
        return None


class Preprocessor(Plugin, Generic[C]):
    """Makes features of one column, fitted on the training rows only."""

    kind = PluginKind.PREPROCESSOR
    stores: ClassVar[Sequence[type]] = ()
    """What its transformers are made of beside scikit-learn and NumPy: a model's file may hold these types too."""

    @abstractmethod
    def takes(self, column: InputColumn) -> bool:
        """Whether it can be used for such a column."""

    @abstractmethod
    def transformer(self, config: C, column: InputColumn, encoding: Encoding, problem: Problem) -> Any:
        """A scikit-learn transformer of arrays of shape [rows, 1] that skops can store. One that gives codes of
        categories says so by an attribute `categorical = True`."""


class Metric(Plugin):
    kind = PluginKind.METRIC
    greater_is_better: ClassVar[bool]

    @abstractmethod
    def score(self, target: Array, predicted: Array) -> float:
        """`predicted` as a trainer's `predict` gives it."""
