"""What the batcher and the handler need of a model, without knowing torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Tokens:
    input: Input
    truncated: bool
    pieces: Sequence[Piece | None] = ()
    """Where each stands in its text, when the model answers for each."""


@dataclass(frozen=True)
class Forwarded:
    """What one forward pass made of `n` inputs."""

    vectors: Sequence[Vectors]
    """One for each input, in their order: `[dimensions]`, `[labels]` of logits, or `[tokens, labels]`."""
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


class Reader(Protocol):
    def read(self, texts: Sequence[str]) -> list[Tokens]:
        """One per text, cut to what the model reads. Safe to call from several threads."""
        ...


@dataclass(frozen=True)
class Loaded:
    encoder: Encoder
    reader: Reader
    nbytes: int
    """Weights and what came with them, measured."""
    labels: Labels = Labels()
