"""`text.embed`: sentence embeddings."""

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.texts import DEFAULT_MODEL, EncoderName, Texts, TextsRead


class EmbedOptions(Contract):
    normalize: bool = True
    """Scale every vector to unit length, so that a dot product is the cosine similarity. A model whose own last step
    normalises, such as the bundled one, does so in any case."""


class EmbedText(Contract, name="text.embed"):
    """Turn texts into vectors whose distance follows their meaning."""

    model: EncoderName = DEFAULT_MODEL
    """The bundled default, a directory below the models folder, or a hub id; it must be on the allow-list."""
    inputs: Texts
    """Texts, at most 10,000 characters each. What exceeds the model's token limit is cut and counted."""
    options: EmbedOptions = EmbedOptions()


class EmbedModel(Contract):
    name: str
    sha256: str
    """Digest of the weights file."""
    setup_sha256: str = ""
    """Digest of what is around the weights: configuration, tokenizer and pooling."""
    dimensions: int
    dtype: str
    device: str


class TextEmbedded(TextsRead, name="text.embedded"):
    """One vector per text, and what made them."""

    outputs: list[list[float]]
    """One vector per input, in order; rounded to 7 decimals, below float32's resolution for unit vectors."""
    model: EmbedModel


TEXT_EMBED = JobKind(EmbedText, TextEmbedded, repeatable=True)
