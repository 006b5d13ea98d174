"""`text.generate`: text that goes on from a prompt, or the next message of a chat."""

from typing import Self

from pydantic import model_validator

from schemas.contract import Contract
from schemas.generation import (
    FinishReason,
    GenerateOptions,
    LanguageModel,
    LanguageModelName,
    Messages,
    PromptText,
    Usage,
    WritingTime,
)
from schemas.kinds import JobKind


class GenerateText(Contract, name="text.generate"):
    """Write what follows a prompt, or the answer to a chat; readable while it is written."""

    model: LanguageModelName
    """A directory below the models folder or a hub id, on the allow-list."""
    prompt: PromptText | None = None
    """Text to go on from. Either this or `messages`."""
    messages: Messages | None = None
    """A chat to answer, for models that have a chat template."""
    options: GenerateOptions = GenerateOptions()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either `prompt` or `messages`")
        return self


class TextGenerated(Contract, name="text.generated"):
    """The text, why it ends, and what wrote it."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    dropped_messages: int
    """How many were left out, because the model's context has no room for them."""
    seed: int
    model: LanguageModel
    timing: WritingTime


TEXT_GENERATE = JobKind(GenerateText, TextGenerated)
