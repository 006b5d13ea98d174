"""What the worker and its device's child tell each other of models. The worker does not know torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from consumers.encoders.entities import Piece
from consumers.encoders.layout import Layout
from consumers.encoders.sources import ModelSource
from consumers.inference.registered import Registered
from schemas.learning import LearningTask

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Input:
    """What a model reads at once: a text, or a pair of texts, as tokens."""

    ids: Sequence[int]
    segments: Sequence[int] | None = None
    """For each token 1 where it belongs to a pair's second text, else 0; None where the model makes no difference."""
    choices: Sequence[int] = ()
    """Which tokens of the vocabulary a model that fills blanks is asked about; the likeliest when there are none."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Tokens:
    input: Input
    truncated: bool
    index: int
    """Of the job's input that it is of, or a part of."""
    pieces: Sequence[Piece | None] = ()
    """Where what the model answers for, tokens or blanks, stands in its text."""


@dataclass(frozen=True)
class Forwarded:
    """What one forward pass made of `n` inputs."""

    vectors: Sequence[Vectors]
    """One for each input, in their order: `[dimensions]`, `[labels]` of logits, `[tokens, labels]`, or for blanks
    `[blanks, 2, candidates]`, tokens and the logarithms of their probabilities."""
    computed: int
    """Tokens that went through the network, padding included."""


@dataclass(frozen=True)
class ModelIdentity:
    name: str
    sha256: str
    dtype: str
    device: str


@dataclass(frozen=True)
class Labels:
    """What the outputs of a classifier or tagger stand for; of an embedder there are none."""

    names: Sequence[JsonValue] = ()
    independent: bool = False
    """A text may have several of them."""


class Encoder(Protocol):
    """In the child, for one thread."""

    identity: ModelIdentity
    vocabulary: int
    """Every id is below it."""
    blank: int | None
    """The id of what it fills, if that is what it does."""
    padded: bool
    """A batch costs its longest input times its size; otherwise the sum of its lengths."""

    def forward(self, batch: Sequence[Input]) -> Forwarded:
        """Raises MemoryError when the batch is too large for the device."""
        ...


@dataclass(frozen=True)
class Loaded:
    encoder: Encoder
    reader: Any
    """Makes inputs of what jobs of its kind ask, in any thread: one of those in `tokenizing`, or one like it."""
    nbytes: int
    """Weights and what came with them, measured."""
    labels: Labels = Labels()


@dataclass(frozen=True)
class Files:
    """A directory to load as the model of a job kind."""

    kind: str
    source: ModelSource
    layout: Layout

    def __str__(self) -> str:
        return self.source.name


@dataclass(frozen=True)
class Archive:
    """A registered model's file, and what the model must have learned."""

    found: Registered
    content: bytes
    task: LearningTask

    def __str__(self) -> str:
        return str(self.found)


@dataclass(frozen=True)
class Calibration:
    """What bfloat16 is against float32, for one model on one device."""

    speedup: float
    least_cosine: float
    """Between what both say of a probe."""


@dataclass(frozen=True)
class Facts:
    """What the child tells of a model that it has loaded."""

    identity: ModelIdentity
    reader: Any
    labels: Labels
    padded: bool
    """A batch costs its longest input times its size; otherwise the sum of its lengths."""
    nbytes: int
    load_s: float
    batch_tokens: int
    """The most that a batch may cost."""
    peak_bytes: int = 0
    """What a forward pass takes beside the weights, at most."""
    timings: Sequence[tuple[int, float]] = ()
    """Tokens and seconds of the first forward passes."""
    calibration: Calibration | None = None
    """None where the dtype was given, or the device has no other."""
