"""One WebSocket: each subscription of its client is a task of its own, which waits while the client does not read."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeVar

import structlog
from fastapi import WebSocket
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.websockets import WebSocketDisconnect

from gateway import problems
from gateway.dependencies import SUBPROTOCOL, Parts
from gateway.finding import find
from gateway.problems import ProblemError, invalid_fields, invalid_parameters, problem_of
from gateway.streaming import KEEP_ALIVE_S, STALLED_S
from gateway.topics import Missed, News, Opened
from messaging.topics import UnknownTopic
from schemas.listening import Gap, JobTold, Refused, SocketRequest, Subscribe, Subscribed, Unsubscribe
from schemas.problems import InvalidField
from schemas.resources import Resource
from storage.blobs import BlobMissing, BlobUnavailable
from storage.database import StoreUnavailable
from storage.event_log import Logged, Place
from telemetry import metrics

log = structlog.get_logger()

MAX_SUBSCRIPTIONS = 100
_REQUEST: TypeAdapter[SocketRequest] = TypeAdapter(SocketRequest)
_PATIENCE_S = 3600.0
_ANSWERED = (ProblemError, UnknownTopic, StoreUnavailable, BlobUnavailable, BlobMissing)
_Name = tuple[str | None, str | None]
_T = TypeVar("_T")


class _Over(Exception):
    """The client has left, or shall."""


class Conversation:
    def __init__(self, socket: WebSocket, parts: Parts, scope: str | None) -> None:
        self._socket, self._parts, self._scope = socket, parts, scope
        self._subscriptions: dict[_Name, asyncio.Task[None]] = {}
        self._sending = self._sent = 0

    async def hold(self, talk: Callable[["Conversation"], Awaitable[None]]) -> None:
        """Accept, and `talk` until it ends, the client leaves, the gateway stops, or nobody reads what is said."""
        offered = self._socket.scope["subprotocols"]
        await self._socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        with metrics.SUBSCRIBERS.labels("websocket").track_inprogress():
            try:
                async with asyncio.TaskGroup() as self._group:
                    self._group.create_task(self._part_when_closing())
                    self._group.create_task(self._give_up_when_stalled())
                    await talk(self)
                    await self._socket.close()
                    raise _Over
            except* (_Over, WebSocketDisconnect):
                pass
            except* TimeoutError:
                log.info("subscriber_left", reason="it reads nothing", after_s=STALLED_S)

    async def answer(self) -> None:
        """Do what the client asks, until it leaves."""
        while True:
            text = await self._socket.receive_text()
            try:
                asked = _REQUEST.validate_json(text)
                self._do(asked)
            except ValidationError as error:
                await self._refuse(None, None, invalid_parameters(error))
            except ProblemError as error:
                await self._refuse(asked.topic, asked.job, error)

    async def tell_job(self, job_id: str, after: int) -> None:
        """Every change of a job behind `after`, until its end. Raises ProblemError."""
        found = await find(self._parts, job_id)
        async for snapshot in self._parts.view.follow(found, after, KEEP_ALIVE_S, self._parts.closing):
            if snapshot is not None:
                job = await self._parts.view.resource(snapshot)
                await self._say(JobTold(id=str(snapshot.order), job=job))

    def _do(self, asked: Subscribe | Unsubscribe) -> None:
        """To subscribe again is to begin again. Raises ProblemError."""
        name = (asked.topic, asked.job)
        if before := self._subscriptions.pop(name, None):
            before.cancel()
        if isinstance(asked, Unsubscribe):
            return
        if len(self._subscriptions) == MAX_SUBSCRIPTIONS:
            raise ProblemError("invalid-parameters", f"a socket has at most {MAX_SUBSCRIPTIONS} subscriptions")
        self._subscriptions[name] = task = self._group.create_task(self._tell(asked))
        task.add_done_callback(lambda ended: self._forget(name, ended))

    def _forget(self, name: _Name, ended: asyncio.Task[None]) -> None:
        if self._subscriptions.get(name) is ended:
            del self._subscriptions[name]

    async def _tell(self, asked: Subscribe) -> None:
        try:
            if asked.topic is not None:
                await self._tell_topic(asked.topic, _parsed(Place.parse, asked.after))
            elif asked.job is not None:
                await self.tell_job(asked.job, _parsed(int, asked.after) or -1)
        except _ANSWERED as error:
            await self._refuse(asked.topic, asked.job, problem_of(error))

    async def _tell_topic(self, topic: str, after: Place | None) -> None:
        with self._parts.topics.listening([topic], self._scope, after) as listener:
            while not self._parts.closing.is_set():
                for news in await listener.take(_PATIENCE_S):
                    await self._send(_message(topic, news))

    async def _say(self, message: Resource) -> None:
        await self._send(message.model_dump_json(exclude_none=isinstance(message, Refused)))

    async def _send(self, text: str) -> None:
        self._sending += 1
        await self._socket.send_text(text)
        self._sending -= 1
        self._sent += 1

    async def _refuse(self, topic: str | None, job: str | None, error: ProblemError) -> None:
        await self._say(Refused(topic=topic, job=job, problem=problems.document(self._socket, error)))

    async def _give_up_when_stalled(self) -> None:
        """A look now and then: a timer for each message costs as much as sending it."""
        while True:
            before = self._sent
            await asyncio.sleep(STALLED_S)
            if self._sending and self._sent == before:
                raise TimeoutError

    async def _part_when_closing(self) -> None:
        await self._parts.closing.wait()
        await self._socket.close(1012, "the gateway stops; come again with what you have seen last")
        raise _Over


def _parsed(parse: Callable[[str], _T], text: str | None) -> _T | None:
    """What a client has seen last. Raises ProblemError."""
    try:
        return None if text is None else parse(text)
    except ValueError:
        raise invalid_fields([InvalidField(pointer="/after", detail=f"{text!r} is no id of it")]) from None


def _message(topic: str, news: News) -> str:
    match news:
        case Opened(place):
            return Subscribed(topic=topic, id=str(place)).model_dump_json()
        case Missed(place):
            return Gap(topic=topic, id=str(place)).model_dump_json()
        case _:
            return _event(topic, news)


@lru_cache(64)
def _event(topic: str, told: Logged) -> str:
    """Made once for all who listen to this topic."""
    head = to_json({"type": "event", "topic": topic, "id": str(told.place)})
    return f'{head[:-1].decode()},"event":{told.text}}}'
