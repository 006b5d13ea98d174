"""Topics as server-sent events."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from gateway import preferences
from gateway.body import LimitedRoute
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.keys import scope_of
from gateway.openapi import PROBLEM_RESPONSES
from gateway.streaming import CLOSING, KEEP_ALIVE, KEEP_ALIVE_S, EventStream
from gateway.topics import Missed, News, Opened
from messaging.topics import all_matching
from schemas.listening import TopicPattern
from storage.event_log import Place

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute)

_WRITE = 64 * 1024  # bytes given to a client at once: what it has not taken waits where it costs nobody anything


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def follow_topics(
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    topic: Annotated[list[TopicPattern], Query(min_length=1, max_length=20)],
) -> Response:
    """Events of all jobs that the caller may see, as they happen: those whose topic, `<kind>.<fact>`, matches one of
    `topic`, where `*` stands for one word and `#` for any number of them.

    `Last-Event-ID` resumes behind the event seen last. The event `gap` says that some could not be told; `closing`,
    that the gateway stops and another connection goes on.
    """
    all_matching(topic)
    after = preferences.known_place(request.headers)
    return EventStream(_told(parts, topic, scope_of(principal), after))


async def _told(
    parts: Parts, topics: Sequence[str], scope: str | None, after: Place | None
) -> AsyncIterator[str | bytes]:
    with parts.topics.listening(topics, scope, after) as listener:
        while not parts.closing.is_set():
            found = await listener.take(KEEP_ALIVE_S)
            for piece in _pieces(found):
                yield piece
            if not (found or parts.closing.is_set()):
                yield KEEP_ALIVE
    yield CLOSING


def _pieces(found: Sequence[News]) -> Iterator[bytes]:
    piece: list[bytes] = []
    size = 0
    for event in map(_event, found):
        piece.append(event)
        size += len(event)
        if size > _WRITE:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def _event(news: News) -> bytes:
    match news:
        case Opened(place):
            return f"id: {place}\nevent: subscribed\ndata: {{}}\n\n".encode()
        case Missed(place):
            return f'id: {place}\nevent: gap\ndata: {{"before": "{place}"}}\n\n'.encode()
        case _:
            return news.sse
