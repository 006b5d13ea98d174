"""What the batcher and the handler need of a model, without knowing torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

Vectors = NDArray[np.float32]
TokenIds = Sequence[int]


@dataclass(frozen=True)
class Tokens:
    ids: list[int]
    truncated: bool


@dataclass(frozen=True)
class Forwarded:
    """What one forward pass made of `n` inputs."""

    vectors: Vectors
    """Shape `[n, dimensions]`, or `[n, labels]` of logits, in the order of the inputs."""
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
    """What the outputs of a classifier stand for; of an embedder there are none."""

    names: Sequence[JsonValue] = ()
    independent: bool = False
    """A text may have several of them."""


class Encoder(Protocol):
    identity: ModelIdentity
    padded: bool
    """A batch costs its longest input times its size; otherwise the sum of its lengths."""

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """One per text, cut to what the model reads. Safe to call from several threads."""
        ...

    def forward(self, batch: Sequence[TokenIds]) -> Forwarded:
        """Raises MemoryError when the batch is too large for the device."""
        ...


@dataclass(frozen=True)
class Loaded:
    encoder: Encoder
    nbytes: int
    """Weights and what came with them, measured."""
    labels: Labels = Labels()
