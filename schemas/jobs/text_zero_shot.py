"""`text.zero-shot`: texts sorted into classes that no model was trained for, by the names of the classes alone."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.texts import DEFAULT_MODEL, EncoderName, Texts, TextsRead, Truncation

MAX_PAIRS = 10_000
PLACE = "{}"
_COMPARES = f"{DEFAULT_MODEL} compares with each other; or name a model of natural language inference"

Label = Annotated[str, StringConstraints(pattern=r"\S", max_length=200)]


class ZeroShotOptions(Truncation):
    hypothesis_template: Annotated[str, StringConstraints(max_length=500)] = "This example is {}."
    """The sentence that a label stands in, at `{}`."""
    multi_label: bool = False
    """Judge each label for itself, since a text may have several or none. Only for models of entailment."""
    top_k: Annotated[int, Field(ge=1)] | None = None
    """How many labels per input, the likeliest first; all when left out."""

    @field_validator("hypothesis_template")
    @classmethod
    def _one_place(cls, template: str) -> str:
        if template.count(PLACE) != 1:
            raise ValueError(f"write {PLACE} exactly once, where the label goes, as in 'This example is {PLACE}.'")
        return template


class ZeroShotTexts(Contract, name="text.zero-shot"):
    """Sort texts into classes that are only named."""

    model: EncoderName = DEFAULT_MODEL
    """A model of natural language inference, as a directory below the models folder or a hub id on the allow-list, is
    asked whether a text entails a label's sentence. The bundled default knows no entailment and compares meanings."""
    inputs: Texts
    """Texts, at most 10,000 characters each. What exceeds the model's token limit is cut and counted."""
    candidate_labels: Annotated[list[Label], Field(min_length=1, max_length=100)]
    """At most 10,000 inputs times labels."""
    options: ZeroShotOptions = ZeroShotOptions()

    @field_validator("candidate_labels")
    @classmethod
    def _possible_labels(cls, labels: list[str], given: ValidationInfo) -> list[str]:
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands there twice")
        pairs = len(given.data.get("inputs", [])) * len(labels)
        if pairs > MAX_PAIRS:
            raise ValueError(f"times inputs they are {pairs:,}, more than {MAX_PAIRS:,}; split the job")
        if len(labels) == 1 and given.data.get("model") == DEFAULT_MODEL:
            raise ValueError(f"give two or more, which {_COMPARES}")
        return labels

    @field_validator("options")
    @classmethod
    def _possible_options(cls, options: ZeroShotOptions, given: ValidationInfo) -> ZeroShotOptions:
        if options.multi_label and given.data.get("model") == DEFAULT_MODEL:
            raise ValueError(f"leave out multi_label: labels are what {_COMPARES}")
        return options


class CandidateScore(Contract):
    label: str
    score: float
    """Rounded to 7 decimals. All labels of an input add up to 1; a single one, or each with `multi_label`, stands for
    itself."""


class ZeroShotModel(Contract):
    name: str
    sha256: str
    """Digest of the weights file."""
    method: Literal["entailment", "similarity"]
    """Whether it was asked what a text entails, or compared a text's meaning with the labels'."""
    dtype: str
    device: str


class TextZeroShotClassified(TextsRead, name="text.zero-shot-classified"):
    """The labels of each text, and what gave them."""

    outputs: list[list[CandidateScore]]
    """One list per input, in order; the likeliest label first."""
    model: ZeroShotModel


TEXT_ZERO_SHOT = JobKind(ZeroShotTexts, TextZeroShotClassified)
