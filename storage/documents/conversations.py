"""Conversations with language models: see storage/conversations.py."""

from datetime import datetime
from typing import Any

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel

from storage.documents.rows import Row


class Conversation(Row):
    principal: str
    title: str
    model: str
    system: str | None
    options: dict[str, Any]
    """JSON of `GenerateOptions`."""
    created_at: datetime
    updated_at: datetime
    """When it was changed, or somebody said something."""


class Message(Row):
    """What a person said, or the place of the answer to it, which is its job's result."""

    conversation_id: str
    number: int
    """Counts the messages of the conversation, from 0. Answers are odd."""
    created_at: datetime
    content: str | None = None
    """Of a person's."""
    job_id: str | None = None
    """Of an answer."""


class ConversationDocument(Conversation, Document):
    class Settings:
        name = "conversations"
        indexes = [IndexModel([("principal", ASCENDING), ("updated_at", DESCENDING), ("_id", DESCENDING)])]  # noqa: RUF012


class MessageDocument(Message, Document):
    class Settings:
        name = "messages"
        indexes = [IndexModel([("conversation_id", ASCENDING), ("number", DESCENDING)], unique=True)]  # noqa: RUF012
