"""Operations on conversations and their messages, which people make, change and delete. What a model answers is the
result of a job; here is only its place."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from storage.database import Database
from storage.documents import Conversation, ConversationDocument, Message, MessageDocument
from storage.shelves import reading, writing


async def create(database: Database, made: Conversation) -> None:
    """Raises Unfit, StoreUnavailable."""
    with writing():
        await _conversations(database).insert_one(made.model_dump(by_alias=True))


async def find(database: Database, conversation: str, principal: str) -> Conversation | None:
    """Of theirs. Raises StoreUnavailable."""
    with reading():
        found = await _conversations(database).find_one({"_id": conversation, "principal": principal})
    return None if found is None else Conversation.model_validate(found)


async def page(
    database: Database, principal: str, limit: int, after: tuple[datetime, str] | None
) -> list[Conversation]:
    """Last changed first, from behind `after` = (updated_at, id). Raises StoreUnavailable."""
    query = {"principal": principal} | _behind("updated_at", after)
    with reading():
        rows = await _conversations(database).find(query).sort([("updated_at", -1), ("_id", -1)]).to_list(limit)
    return [Conversation.model_validate(row) for row in rows]


async def change(database: Database, conversation: str, fields: Mapping[str, Any]) -> None:
    """Raises Unfit, StoreUnavailable."""
    with writing():
        await _conversations(database).update_one({"_id": conversation}, {"$set": dict(fields)})


async def delete(database: Database, conversation: str) -> None:
    """With its messages. Raises StoreUnavailable."""
    with reading():
        await _conversations(database).delete_one({"_id": conversation})  # first: then nobody finds the messages
        await _messages(database).delete_many({"conversation_id": conversation})


async def say(database: Database, said: Message, answer: Message) -> bool:
    """False when somebody else says something at the same moment. Raises Unfit, StoreUnavailable."""
    with writing():
        try:
            await _messages(database).insert_one(said.model_dump(by_alias=True))
        except DuplicateKeyError:
            return False
        await _messages(database).insert_one(answer.model_dump(by_alias=True))
    return True


async def unsay(database: Database, *messages: Message) -> None:
    """Raises StoreUnavailable."""
    with reading():
        await _messages(database).delete_many({"_id": {"$in": [message.id for message in messages]}})


async def messages(database: Database, conversation: str, limit: int, before: int | None = None) -> list[Message]:
    """The newest first, of those with a lower number than `before`. Raises StoreUnavailable."""
    query: dict[str, Any] = {"conversation_id": conversation}
    if before is not None:
        query["number"] = {"$lt": before}
    with reading():
        rows = await _messages(database).find(query).sort("number", -1).to_list(limit)
    return [Message.model_validate(row) for row in rows]


async def message(database: Database, conversation: str, message: str) -> Message | None:
    """Raises StoreUnavailable."""
    with reading():
        found = await _messages(database).find_one({"_id": message, "conversation_id": conversation})
    return None if found is None else Message.model_validate(found)


async def asked(database: Database, conversation: str, job_id: str) -> Sequence[Message]:
    """What was said and the place of its answer, by the answer's job; empty when there is none. Raises
    StoreUnavailable."""
    with reading():
        answer = await _messages(database).find_one({"conversation_id": conversation, "job_id": job_id})
        if answer is None:
            return []
        said = await _messages(database).find_one({"conversation_id": conversation, "number": answer["number"] - 1})
    return [Message.model_validate(row) for row in (said, answer)]


def _behind(field: str, after: tuple[datetime, str] | None) -> dict[str, Any]:
    if after is None:
        return {}
    at, last = after
    return {"$or": [{field: {"$lt": at}}, {field: at, "_id": {"$lt": last}}]}


def _conversations(database: Database) -> Any:
    return database[ConversationDocument.Settings.name]


def _messages(database: Database) -> Any:
    return database[MessageDocument.Settings.name]
