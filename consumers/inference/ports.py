"""What the batcher and the handler need of a model, without knowing torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from consumers.encoders.entities import Piece

Vectors = NDArray[np.float32]
TokenIds = Sequence[int]


@dataclass(frozen=True)
class Tokens:
    ids: list[int]
    truncated: bool
    pieces: Sequence[Piece | None] = ()
    """Where each stands in the text, when the model answers for each."""


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
    setup_sha256: str = ""


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
