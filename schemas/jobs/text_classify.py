"""`text.classify`: labels of texts, with probabilities."""

from typing import Annotated

from pydantic import Field, JsonValue

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.texts import LabellingModel, LabelTexts, TextsRead, Truncation


class ClassifyOptions(Truncation):
    top_k: Annotated[int, Field(ge=1)] | None = None
    """How many labels per input, the likeliest first; all when left out."""


class ClassifyText(LabelTexts, name="text.classify"):
    """Sort texts into the classes of a model."""

    options: ClassifyOptions = ClassifyOptions()


class LabelScore(Contract):
    label: JsonValue
    """Of a registered model as its dataset writes it, else a text."""
    score: float
    """The probability, rounded to 7 decimals: all labels of an input add up to 1, or each stands for itself when the
    model gives several labels to a text."""


class TextClassified(TextsRead, name="text.classified"):
    """The labels of each text, and what gave them."""

    outputs: list[list[LabelScore]]
    """One list per input, in order; the likeliest label first."""
    model: LabellingModel


TEXT_CLASSIFY = JobKind(ClassifyText, TextClassified, repeatable=True)
