"""Conversations with language models, over HTTP."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, StringConstraints

from schemas.generation import FinishReason, GenerateOptions, LanguageModelName, PromptText, Usage
from schemas.resources import JobFailure, Resource, Time

Title = Annotated[str, StringConstraints(max_length=200)]


class ConversationOptions(GenerateOptions):
    """As of `text.generate`, but that the oldest messages are left out unless it says otherwise."""

    overflow: Literal["refuse", "drop-oldest"] = "drop-oldest"


class _Request(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ConversationDraft(_Request):
    model: LanguageModelName
    """A directory below the models folder or a hub id, on the allow-list."""
    title: Title = ""
    system: PromptText | None = None
    """What the model is told before everything else."""
    options: ConversationOptions = ConversationOptions()


class ConversationUpdate(_Request):
    """What shall be different from the next message on."""

    model: LanguageModelName | None = None
    title: Title | None = None
    system: Annotated[str, StringConstraints(max_length=200_000)] | None = None
    """Empty for none."""
    options: ConversationOptions | None = None


class ConversationLinks(Resource):
    self: str
    messages: str


class Conversation(Resource):
    id: str
    title: str
    model: str
    system: str | None
    options: ConversationOptions
    created_at: Time
    updated_at: Time
    """When it was changed, or somebody said something."""
    links: ConversationLinks


class ConversationPage(Resource):
    items: list[Conversation]
    next: str | None
    """Path of the next page; null on the last."""


class MessageDraft(_Request):
    content: PromptText
    options: ConversationOptions | None = None
    """For this answer; those of the conversation when left out."""
    stream: bool = False
    """Answer with server-sent events."""


class MessageStatus(StrEnum):
    COMPLETED = "completed"
    PENDING = "pending"
    """It is being written."""
    FAILED = "failed"
    """There is none; `error` says why. Neither it nor what it would have answered is told to the model later."""


class MessageLinks(Resource):
    self: str
    events: str | None = None
    """Of an answer: as it is written."""
    job: str | None = None
    """Of an answer."""


class Message(Resource):
    id: str
    conversation_id: str
    role: Literal["user", "assistant"]
    status: MessageStatus
    content: str | None
    created_at: Time
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    dropped_messages: int | None = None
    """How many older ones were left out, because the model's context has no room for them."""
    error: JobFailure | None = None
    links: MessageLinks


class Exchange(Resource):
    """What was said, and its answer."""

    message: Message
    answer: Message


class MessagePage(Resource):
    items: list[Message]
    next: str | None
    """Path of the next page; null on the last."""
