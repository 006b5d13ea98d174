"""What the batcher and the handler need of a model, without knowing torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from consumers.encoders.entities import Piece

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
    identity: ModelIdentity
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
