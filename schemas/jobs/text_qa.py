"""`text.qa`: answers to questions, as passages of a text that comes with each."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.texts import MAX_INPUTS, EncoderName, HeadedModel, TextsRead

MAX_QUESTION_LENGTH = 2_000  # characters
MAX_CONTEXT_LENGTH = 100_000


class Question(Contract):
    question: Annotated[str, StringConstraints(pattern=r"\S", max_length=MAX_QUESTION_LENGTH)]
    context: Annotated[str, StringConstraints(pattern=r"\S", max_length=MAX_CONTEXT_LENGTH)]
    """Where the answer is looked for, at most 100,000 characters."""


class QaOptions(Contract):
    top_k: Annotated[int, Field(ge=1, le=20)] = 1
    """How many answers per question, the likeliest first; fewer when there are no more."""
    max_answer_tokens: Annotated[int, Field(ge=1, le=200)] = 15
    no_answer: bool = False
    """A context may have no answer: an empty one is among the answers, with the score of there being none."""
    whole_words: bool = True
    """Let an answer begin and end where words do, also when the model said a part of one."""
    window: Annotated[int, Field(ge=32)] = 384
    """Tokens that the model reads at once, at most what it can. A longer context is read in windows."""
    overlap: Annotated[int, Field(ge=0)] = 128
    """Tokens of the context that neighbouring windows share, at most half of what a window has of it."""


class AnswerQuestions(Contract, name="text.qa"):
    """Find the answers to questions in texts."""

    model: EncoderName
    """A model for extractive question answering: a directory below the models folder, or a hub id, on the
    allow-list."""
    inputs: Annotated[list[Question], Field(min_length=1, max_length=MAX_INPUTS)]
    options: QaOptions = QaOptions()


class PassageFound(Contract):
    start: int
    """In characters of the context (Unicode code points)."""
    end: int
    """Behind the last character: `context[start:end]` is `text`. Equal to `start`, at 0, for no answer."""
    text: str
    score: float
    """The probability that an answer begins where this one does times that it ends there, within the window; rounded
    to 7 decimals."""


class QuestionsAnswered(TextsRead, name="text.questions-answered"):
    """The answers to each question, and what found them."""

    outputs: list[list[PassageFound]]
    """One list per input, in order; the likeliest answer first."""
    model: HeadedModel


TEXT_QA = JobKind(AnswerQuestions, QuestionsAnswered)
