"""What jobs that write text have in common."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.contract import Contract
from schemas.patterns import Pattern

MAX_PROMPT_LENGTH = 200_000  # characters
MAX_MESSAGES = 1_000
MAX_NEW_TOKENS = 16_384

LanguageModelName = Annotated[
    str,
    StringConstraints(max_length=200),
    Pattern(
        r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        "the name of a model, of letters, digits, '.', '_', '-' and '/', such as 'millrace-demo' or 'org/name'",
    ),
]
PromptText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT_LENGTH)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class ChatMessage(Contract):
    role: Role
    content: PromptText


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]


class Sampling(Contract):
    """How the next token is chosen."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 takes the likeliest token, and gives the same text each time."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw from the likeliest tokens that have this probability together."""
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Draw from so many of the likeliest tokens; 0 for all."""
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Divides the scores of tokens in prompt and text; 1 leaves them."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    """Taken off the score of each token that the text has."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    """The same, as often as the text has it."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """The same seed draws the same text. One that follows from the job when left out; the result tells it."""


class GenerateOptions(Sampling):
    max_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] | None = None
    """At most so many are written; when left out 256, or as many as the model's context has room for."""
    stop: Annotated[list[StopText], Field(max_length=8)] = Field(default_factory=list)
    """The text ends before the first of these that it comes to."""
    overflow: Literal["refuse", "drop-oldest"] = "refuse"
    """What becomes of more than the model's context: it is refused, or the oldest messages are left out, though never
    those of the system nor the last one; of a prompt, its beginning."""


class FinishReason(StrEnum):
    STOP = "stop"
    """The model ended it, or a stop text was reached."""
    LENGTH = "length"
    """It has as many tokens as it may."""


class Usage(Contract):
    prompt_tokens: int
    completion_tokens: int
    """Tokens written, the one that ends the text included."""


class LanguageModel(Contract):
    """What wrote."""

    name: str
    sha256: str
    """Digest of the weights file."""
    context: int
    """Tokens that it can have before it, its own included."""
    dtype: str
    device: str


class WritingTime(Contract):
    first_token_s: float | None
    """Seconds until the first token, waiting included; null where an earlier run had written it."""
    run_s: float
    """Seconds until the last, from the job's start."""
