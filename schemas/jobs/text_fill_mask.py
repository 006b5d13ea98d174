"""`text.fill-mask`: tokens for the blanks in texts."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.texts import EncoderName, HeadedModel, Texts, TextsRead, Truncation

MAX_CANDIDATES = 100

Target = Annotated[str, StringConstraints(pattern=r"\S", max_length=100)]


class FillMaskOptions(Truncation):
    top_k: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 5
    """How many tokens per blank, the likeliest first."""
    targets: Annotated[list[Target], Field(min_length=1, max_length=MAX_CANDIDATES)] | None = None
    """Only these are asked about. Each must be one token of the model; where its tokens begin with a space, as
    RoBERTa's do, so must a target that begins a word."""


class FillMask(Contract, name="text.fill-mask"):
    """Fill the blanks in texts."""

    model: EncoderName
    """A masked language model: a directory below the models folder, or a hub id, on the allow-list."""
    inputs: Texts
    """Texts, at most 10,000 characters each, with one or more blanks: the model's own, `[MASK]` or `<mask>`. What
    exceeds the model's token limit is cut and counted, behind the last blank only."""
    options: FillMaskOptions = FillMaskOptions()


class Candidate(Contract):
    token: int
    """Its number in the model's vocabulary."""
    text: str
    """As the tokenizer writes it, by itself."""
    score: float
    """Its probability, of all tokens of the vocabulary; rounded to 7 decimals."""
    sequence: str
    """The input with this token in the blank. Other blanks stay as they are."""


class Blank(Contract):
    start: int
    """In characters of the input (Unicode code points)."""
    end: int
    """Behind the last character: `input[start:end]` is the blank as it was written."""
    candidates: list[Candidate]
    """The likeliest first."""


class BlanksFilled(TextsRead, name="text.blanks-filled"):
    """The blanks of each text with what may fill them, and what said so."""

    outputs: list[list[Blank]]
    """One list per input, in order; each in the order of the text."""
    model: HeadedModel


TEXT_FILL_MASK = JobKind(FillMask, BlanksFilled)
