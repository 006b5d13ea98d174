"""Conversations: what was said, and the answers, which are results of jobs."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from gateway.dependencies import Parts
from gateway.problems import ProblemError, invalid_parameters
from gateway.view import snapshot_of
from schemas import conversations as resources
from schemas.conversations import ConversationLinks, ConversationOptions, MessageLinks, MessageStatus
from schemas.generation import MAX_MESSAGES, ChatMessage, Role
from schemas.jobs.text_generate import GenerateText, TextGenerated
from schemas.lifecycle import JobState
from schemas.resources import Job, JobFailure
from storage import conversations, jobs
from storage.documents import Conversation, Message

_REMEMBERED = MAX_MESSAGES - 2  # beside what the system says and what is said now
_VISIBLE_WITHIN = timedelta(minutes=1)
"""A job that nobody knows by then was never accepted: its gateway died in between."""


async def find_conversation(parts: Parts, principal: str, conversation: str) -> Conversation:
    """Raises ProblemError, StoreUnavailable."""
    found = await parts.store.reading(conversations.find(parts.database, conversation, principal))
    if found is None:
        raise ProblemError("not-found", f"there is no conversation {conversation!r}")
    return found


async def find_message(parts: Parts, conversation: Conversation, message: str) -> Message:
    """Raises ProblemError, StoreUnavailable."""
    found = await parts.store.reading(conversations.message(parts.database, conversation.id, message))
    if found is None:
        raise ProblemError("not-found", f"conversation {conversation.id!r} has no message {message!r}")
    return found


def places(conversation: Conversation, content: str, job_id: str, number: int) -> tuple[Message, Message]:
    """Of what is said and of its answer."""
    common = {"conversation_id": conversation.id, "created_at": datetime.now(UTC)}
    said = Message(id=uuid4().hex, number=number, content=content, **common)
    return said, Message(id=uuid4().hex, number=number + 1, job_id=job_id, **common)


async def params(
    parts: Parts,
    conversation: Conversation,
    said: str,
    options: ConversationOptions | None,
    before: int | None = None,
) -> tuple[GenerateText, int]:
    """What the model is asked, and the number of the next message. Raises ProblemError, StoreUnavailable."""
    earlier = await parts.store.reading(conversations.messages(parts.database, conversation.id, _REMEMBERED, before))
    told = await described(parts, earlier)
    if any(each.status is MessageStatus.PENDING for each in told):
        raise ProblemError("conflict", "the answer before is still being written; wait for it, or cancel its job")
    system = [ChatMessage(role=Role.SYSTEM, content=conversation.system)] if conversation.system else []
    asked = options or ConversationOptions.model_validate(conversation.options)
    try:
        chat = [*system, *_turns(told[::-1]), ChatMessage(role=Role.USER, content=said)]
        found = GenerateText(model=conversation.model, messages=chat, options=asked.model_dump())
    except ValidationError as error:
        raise invalid_parameters(error) from None
    return found, earlier[0].number + 1 if earlier else 0


def _turns(told: Sequence[resources.Message]) -> list[ChatMessage]:
    """Oldest first; a question without an answer is left out, since templates want them in turn."""
    found: list[ChatMessage] = []
    for said, answer in pairwise(told):
        if said.role == "user" and answer.role == "assistant" and answer.content:
            found.append(ChatMessage(role=Role.USER, content=said.content or ""))
            found.append(ChatMessage(role=Role.ASSISTANT, content=answer.content))
    return found


async def described(parts: Parts, messages: Sequence[Message]) -> list[resources.Message]:
    """In their order. Raises StoreUnavailable, BlobUnavailable, BlobMissing."""
    ids = [message.job_id for message in messages if message.job_id]
    stored = {each.id: each for each in await parts.store.reading(jobs.several(ids))} if ids else {}

    async def job_of(job_id: str) -> Job | None:
        found = snapshot_of(stored.get(job_id))
        if found is None or not found.terminal:
            found = await parts.view.look(job_id) or found
        return None if found is None else await parts.view.resource(found)

    found = dict(zip(ids, await asyncio.gather(*map(job_of, ids)), strict=True))
    return [_described(message, found.get(message.job_id or "")) for message in messages]


def conversation_resource(found: Conversation) -> resources.Conversation:
    at = f"/v1/conversations/{found.id}"
    fields = found.model_dump(exclude={"schema_version", "principal"})
    return resources.Conversation(**fields, links=ConversationLinks(self=at, messages=f"{at}/messages"))


def _described(message: Message, job: Job | None) -> resources.Message:
    at = f"/v1/conversations/{message.conversation_id}/messages/{message.id}"
    common: dict[str, Any] = {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "created_at": message.created_at,
    }
    if message.job_id is None:
        said = {"role": "user", "status": MessageStatus.COMPLETED, "content": message.content}
        return resources.Message(**common, **said, links=MessageLinks(self=at))
    links = MessageLinks(self=at, events=f"{at}/events", job=f"/v1/jobs/{message.job_id}")
    return resources.Message(**common, role="assistant", links=links, **_answer(message, job))


def _answer(message: Message, job: Job | None) -> dict[str, Any]:
    if job is None:
        lost = datetime.now(UTC) - message.created_at > _VISIBLE_WITHIN
        error = JobFailure(type="/problems/not-found", title="It was never asked for", detail="say it again")
        return _failed(error) if lost else {"status": MessageStatus.PENDING, "content": None}
    if not job.status.terminal:
        return {"status": MessageStatus.PENDING, "content": None}
    if job.status is not JobState.SUCCEEDED:
        return _failed(job.error or JobFailure(type="", title=f"The job is {job.status}", detail=""))
    result = TextGenerated.model_validate(job.result)
    told = {name: getattr(result, name) for name in ("finish_reason", "usage", "dropped_messages")}
    return {"status": MessageStatus.COMPLETED, "content": result.text, **told}


def _failed(error: JobFailure) -> dict[str, Any]:
    return {"status": MessageStatus.FAILED, "content": None, "error": error}
