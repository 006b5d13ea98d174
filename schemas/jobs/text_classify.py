"""`text.classify`: labels of texts, with probabilities."""

from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from schemas.contract import Contract
from schemas.jobs.text_embed import MAX_INPUTS, Text
from schemas.kinds import JobKind

REGISTRY_PREFIX = "registry:"

ClassifierName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(registry:[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9_-]*)?|[A-Za-z0-9][A-Za-z0-9._/-]*)$",
        max_length=200,
    ),
]


class ClassifyOptions(Contract):
    top_k: Annotated[int, Field(ge=1)] | None = None
    """How many labels per input, the likeliest first; all when left out."""
    truncate: bool = True
    """Cut an input at what the model reads. Otherwise a longer one is refused."""


class ClassifyText(Contract, name="text.classify"):
    """Sort texts into the classes of a model."""

    model: ClassifierName
    """A registered model, as `registry:NAME` (its champion, else its latest) or `registry:NAME@VERSION`, where an
    alias or a number will do as well; or a directory below the models folder or a hub id, on the allow-list."""
    inputs: Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
    """Texts, at most 10,000 characters each. What exceeds the model's token limit is cut and counted."""
    options: ClassifyOptions = ClassifyOptions()


class LabelScore(Contract):
    label: JsonValue
    """Of a registered model as its dataset writes it, else a text."""
    score: float
    """The probability, rounded to 7 decimals: all labels of an input add up to 1, or each stands for itself when the
    model gives several labels to a text."""


class ClassifyModel(Contract):
    name: str
    """Of a registered model with the version that answered: `registry:NAME@VERSION`."""
    sha256: str
    """Digest of the weights file, or of a registered model's file."""
    labels: int
    dtype: str
    device: str


class ClassifyTiming(Contract):
    queue_s: float
    """Seconds the inputs waited for a forward pass."""
    run_s: float
    """Seconds of the forward passes they took part in."""


class TextClassified(Contract, name="text.classified"):
    """The labels of each text, and what gave them."""

    outputs: list[list[LabelScore]]
    """One list per input, in order; the likeliest label first."""
    model: ClassifyModel
    tokens: int
    """Tokens read, padding not counted; characters, of a registered model that is no single encoder."""
    truncated: int
    """How many inputs were longer than the model can read; not known, and 0, of one that is no single encoder."""
    timing: ClassifyTiming


TEXT_CLASSIFY = JobKind(ClassifyText, TextClassified)
