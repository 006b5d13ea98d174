"""`text.embed`: sentence embeddings."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.contract import Contract
from schemas.kinds import JobKind

DEFAULT_MODEL = "all-minilm-l6-v2"
MAX_TEXT_LENGTH = 10_000  # characters
MAX_INPUTS = 1_000

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH)]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=200)]


class EmbedOptions(Contract):
    normalize: bool = True
    """Scale every vector to unit length, so that a dot product is the cosine similarity. A model whose own last step
    normalises, such as the bundled one, does so in any case."""


class EmbedText(Contract, name="text.embed"):
    """Turn texts into vectors whose distance follows their meaning."""

    model: ModelName = DEFAULT_MODEL
    """The bundled default, a directory below the models folder, or a hub id; it must be on the allow-list."""
    inputs: Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
    """Texts, at most 10,000 characters each. What exceeds the model's token limit is cut and counted."""
    options: EmbedOptions = EmbedOptions()


class EmbedModel(Contract):
    name: str
    sha256: str
    """Digest of the weights file."""
    dimensions: int
    dtype: str
    device: str


class EmbedTiming(Contract):
    queue_s: float
    """Seconds the inputs waited for a forward pass."""
    run_s: float
    """Seconds of the forward passes they took part in."""


class TextEmbedded(Contract, name="text.embedded"):
    """One vector per text, and what made them."""

    outputs: list[list[float]]
    """One vector per input, in order; rounded to 7 decimals, below float32's resolution for unit vectors."""
    model: EmbedModel
    tokens: int
    """Tokens read, padding not counted."""
    truncated: int
    """How many inputs were longer than the model can read."""
    timing: EmbedTiming


TEXT_EMBED = JobKind(EmbedText, TextEmbedded)
