"""What jobs that run a model on texts have in common."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.contract import Contract

DEFAULT_MODEL = "all-minilm-l6-v2"
REGISTRY_PREFIX = "registry:"
MAX_TEXT_LENGTH = 10_000  # characters
MAX_INPUTS = 1_000

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
EncoderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=200)]
LabellerName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(registry:[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9_-]*)?|[A-Za-z0-9][A-Za-z0-9._/-]*)$",
        max_length=200,
    ),
]


class LabelTexts(Contract):
    """Asks a model for labels."""

    model: LabellerName
    """A registered model, as `registry:NAME` (its champion, else its latest) or `registry:NAME@VERSION`, where an
    alias or a number will do as well; or a directory below the models folder or a hub id, on the allow-list."""
    inputs: Texts
    """Texts, at most 10,000 characters each. What exceeds the model's token limit is cut and counted."""


class Truncation(Contract):
    truncate: bool = True
    """Cut an input at what the model reads. Otherwise a longer one is refused."""


class HeadedModel(Contract):
    """What answered."""

    name: str
    sha256: str
    """Digest of the weights file."""
    dtype: str
    device: str


class LabellingModel(Contract):
    """What answered."""

    name: str
    """Of a registered model with the version that answered: `registry:NAME@VERSION`."""
    sha256: str
    """Digest of the weights file, or of a registered model's file."""
    labels: int
    """How many there are; of entities without the prefixes `B-` and `I-`, and without the one for what is none."""
    dtype: str
    device: str


class Timing(Contract):
    queue_s: float
    """Seconds the inputs waited for a forward pass."""
    run_s: float
    """Seconds of the forward passes they took part in."""


class TextsRead(Contract):
    """What every answer tells beside its outputs."""

    tokens: int
    """Tokens read, padding not counted; characters, of a registered model that is no single encoder."""
    truncated: int
    """How many inputs were longer than the model can read; not known, and 0, of one that is no single encoder."""
    timing: Timing
