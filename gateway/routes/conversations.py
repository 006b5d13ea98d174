"""Conversations with language models: make, find, change, delete; say something, and read the answer."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel
from pydantic_core import to_json

from gateway import preferences
from gateway.body import LimitedRoute
from gateway.chats import conversation_resource, described, find_conversation, find_message, params, places
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES
from gateway.paging import Behind, Limit, paged
from gateway.problems import ProblemError
from gateway.streaming import CLOSING, KEEP_ALIVE, KEEP_ALIVE_S, EventStream
from gateway.texts import Ended, Piece, follow
from schemas.conversations import (
    Conversation,
    ConversationDraft,
    ConversationPage,
    ConversationUpdate,
    Exchange,
    Message,
    MessageDraft,
    MessagePage,
    MessageStatus,
)
from schemas.jobs.text_generate import TEXT_GENERATE
from storage import conversations
from storage.documents import Conversation as StoredConversation
from storage.documents import Message as StoredMessage

router = APIRouter(
    prefix="/v1/conversations", tags=["conversations"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute
)

_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


@router.post("", status_code=201, response_model=Conversation)
async def create(asked: ConversationDraft, principal: Principal, parts: PartsDependency) -> Response:
    """A new conversation with a model, which has a chat template."""
    now = datetime.now(UTC)
    fields = asked.model_dump(mode="json")
    made = StoredConversation(id=uuid4().hex, principal=principal, created_at=now, updated_at=now, **fields)
    await conversations.create(parts.database, made)
    found = conversation_resource(made)
    return _json(found, 201, {"Location": found.links.self})


@router.get("", response_model=ConversationPage)
async def list_conversations(
    principal: Principal, parts: PartsDependency, limit: Limit = 50, cursor: str | None = None
) -> Response:
    """Yours, the one first in which something was said last."""

    async def find(count: int, behind: Behind) -> list[StoredConversation]:
        return await conversations.page(parts.database, principal, count, behind)

    found, following = await paged(parts, "/v1/conversations", {}, limit, cursor, find, lambda each: each.updated_at)
    return _json(ConversationPage(items=[conversation_resource(each) for each in found], next=following))


@router.get("/{conversation}", response_model=Conversation)
async def get_conversation(conversation: str, principal: Principal, parts: PartsDependency) -> Response:
    return _json(conversation_resource(await find_conversation(parts, principal, conversation)))


@router.patch("/{conversation}", response_model=Conversation)
async def change(
    conversation: str, asked: ConversationUpdate, principal: Principal, parts: PartsDependency
) -> Response:
    """Change what is given, from the next message on."""
    found = await find_conversation(parts, principal, conversation)
    fields = {name: value for name, value in asked.model_dump(mode="json").items() if value is not None}
    if "system" in fields:
        fields["system"] = fields["system"] or None
    fields["updated_at"] = datetime.now(UTC)
    await conversations.change(parts.database, found.id, fields)
    return _json(conversation_resource(found.model_copy(update=fields)))


@router.delete("/{conversation}", status_code=204)
async def delete(conversation: str, principal: Principal, parts: PartsDependency) -> Response:
    """Forget it with its messages. The jobs that wrote its answers stay, with what they were asked."""
    found = await find_conversation(parts, principal, conversation)
    await conversations.delete(parts.database, found.id)
    return Response(status_code=204)


@router.post("/{conversation}/messages", status_code=202, response_model=Exchange, responses=_EVENTS)
async def say(
    conversation: str, asked: MessageDraft, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Say something; the model is told all of the conversation and answers, as a job of kind `text.generate`.

    `Prefer: wait=N` answers when it has answered. With `stream` the answer is sent while it is written, as
    server-sent events: `message.started` with both messages, `message.delta` with `{"text": ...}`, and
    `message.completed` or `message.failed` with the answer. A stream that breaks is resumed at the answer's `events`.
    The same `Idempotency-Key` says it once.
    """
    found = await find_conversation(parts, principal, conversation)
    said, answer, headers = await _said(request, principal, parts, found, asked)
    if asked.stream:
        return EventStream(_events(parts, [said, answer], 0, begin=True))
    wait_s = preferences.wait_s(request.headers, parts.settings.max_wait_s)
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
        async with parts.feed.listening(str(answer.job_id)) as changed:
            changed.set()  # it may have ended before we listened
            await parts.view.wait(str(answer.job_id), changed, wait_s)
    exchange = await _exchange(parts, said, answer)
    headers["Location"] = exchange.answer.links.self
    return _json(exchange, 200 if wait_s else 202, headers)


@router.get("/{conversation}/messages", response_model=MessagePage)
async def list_messages(
    conversation: str, principal: Principal, parts: PartsDependency, limit: Limit = 50, cursor: str | None = None
) -> Response:
    """The newest first."""
    found = await find_conversation(parts, principal, conversation)

    async def find(count: int, behind: Behind) -> list[StoredMessage]:
        before = None
        if behind is not None:
            last = await conversations.message(parts.database, found.id, behind[1])
            before = last.number if last else 0
        return await conversations.messages(parts.database, found.id, count, before)

    path = f"/v1/conversations/{found.id}/messages"
    rows, following = await paged(parts, path, {}, limit, cursor, find, lambda each: each.created_at)
    return _json(MessagePage(items=await described(parts, rows), next=following))


@router.get("/{conversation}/messages/{message}", response_model=Message)
async def get_message(conversation: str, message: str, principal: Principal, parts: PartsDependency) -> Response:
    found = await find_message(parts, await find_conversation(parts, principal, conversation), message)
    return _json((await described(parts, [found]))[0])


@router.get("/{conversation}/messages/{message}/events", response_class=StreamingResponse, responses=_EVENTS)
async def stream(
    conversation: str, message: str, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """An answer while it is written. Ids are numbers of tokens, and `Last-Event-ID` resumes behind the last one seen;
    `message.void` says that the text begins anew, where nobody can continue what the client has."""
    found = await find_message(parts, await find_conversation(parts, principal, conversation), message)
    if found.job_id is None:
        raise ProblemError("not-found", "what a person said is whole from the beginning; answers have events")
    return EventStream(_events(parts, [found], max(0, preferences.known_order(request.headers))))


async def _said(
    request: Request, principal: str, parts: Parts, conversation: StoredConversation, asked: MessageDraft
) -> tuple[StoredMessage, StoredMessage, dict[str, str]]:
    """The places first, so that no answer is without one; then the job. Raises ProblemError, PublishFailed,
    StoreUnavailable."""
    job_id = parts.submission.job_id(request, principal)
    database, headers = parts.database, {}
    known = await parts.store.reading(conversations.asked(database, conversation.id, job_id))
    if known:
        said, answer = known
        if said.content != asked.content:
            raise ProblemError("idempotency-key-reused", "Idempotency-Key: it was used for another message")
        headers = {"Idempotent-Replayed": "true"}
        if await parts.view.look(job_id) is not None:
            return said, answer, headers
        wanted, _ = await params(parts, conversation, asked.content, asked.options, before=said.number)
    else:
        wanted, number = await params(parts, conversation, asked.content, asked.options)
        said, answer = places(conversation, asked.content, job_id, number)
        if not await conversations.say(database, said, answer):
            raise ProblemError("conflict", "somebody else says something at the same moment; read it first")
    try:
        await parts.submission.accepted(request, principal, TEXT_GENERATE, wanted, job_id)
    except Exception:
        if not known:
            await conversations.unsay(database, said, answer)
        raise
    await conversations.change(database, conversation.id, {"updated_at": answer.created_at})
    return said, answer, headers


async def _exchange(parts: Parts, said: StoredMessage, answer: StoredMessage) -> Exchange:
    message, answered = await described(parts, [said, answer])
    return Exchange(message=message, answer=answered)


async def _events(
    parts: Parts, messages: list[StoredMessage], after: int, *, begin: bool = False
) -> AsyncIterator[str]:
    """The last of `messages` is the answer."""
    answer = messages[-1]
    if begin:
        yield _event("message.started", await _exchange(parts, *messages))
    job = await parts.view.look(str(answer.job_id))
    generation = 0 if job is None else int(job.fields["generation"])
    async for told in follow(parts, str(answer.job_id), generation, after, KEEP_ALIVE_S):
        match told:
            case None:
                yield KEEP_ALIVE
            case Piece(text, tokens):
                yield f"id: {tokens}\n{_event('message.delta', {'text': text})}"
            case Ended():
                (found,) = await described(parts, [answer])
                whole = found.status is MessageStatus.COMPLETED
                yield _event("message.completed" if whole else "message.failed", found)
                return
            case _:
                yield f"id: 0\n{_event('message.void', {})}"
    yield CLOSING


def _event(name: str, data: BaseModel | dict[str, str]) -> str:
    return f"event: {name}\ndata: {to_json(data).decode()}\n\n"


def _json(found: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(found.model_dump_json(), status, headers, "application/json")
