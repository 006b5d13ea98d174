"""Who listens to which topics, and one reader of the log for all of them.

The reader asks Redis for the topics that somebody here listens to, and for nothing while nobody does. It hands each
event, unread, to those who may see it. A listener is *live*, with a bounded buffer, or it is not: because it resumes,
because it was too slow for its buffer, or because Redis was away. Then it reads the log by itself, page by page, at
its own pace, and holds nothing meanwhile. So one that stops reading costs its place in a table; and when it goes on,
it has missed only what the log has lost as well, and is told so.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto

import structlog

from messaging.topics import all_matching
from storage.cancellation import end
from storage.event_log import EventLog, Logged, LogUnavailable, Page, Place
from telemetry import metrics

log = structlog.get_logger()

BUFFER = 256
"""Events that a live listener may be late by."""
_READ = 1_000  # entries of one look into the log, shared among the topics
_PAGE = 100
_BLOCK_S = 0.1  # a topic that nobody has listened to before is heard after so long
_GATHER_S = 0.01  # between two looks, so that what came meanwhile costs one look, and each listener one write
_REST = 2  # for how many times as long as handing out took others have the gateway: a crowd must not hold them back
_AT_ONCE = 4  # pages that are read for those who catch up
_LOOK_AGAIN_S = 1.0


@dataclass(frozen=True)
class Opened:
    """Everything behind this place is told."""

    place: Place


@dataclass(frozen=True)
class Missed:
    """Something before this place cannot be told any more."""

    place: Place


News = Opened | Missed | Logged


class _State(Enum):
    AWAY = auto()
    """Nothing is offered, and nothing read until somebody takes again."""
    JOINING = auto()
    BEHIND = auto()
    """Offered what comes, while it reads what came before that."""
    LIVE = auto()


class Listener:
    """One subscription, open for as long as `Topics.listening` is."""

    def __init__(self, topics: "Topics", wanted: frozenset[str], scope: str | None, after: Place | None) -> None:
        self.wanted, self.scope = wanted, scope
        self._topics, self._after, self._cut = topics, after, after or Place(0, 0)
        self._state = _State.AWAY
        self._opened = False
        self._buffer: deque[Logged] = deque()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at, self._quiet = 0.0, False

    async def take(self, patience_s: float) -> list[News]:
        """What is new, as soon as there is something; empty when nothing was for so long, and when all is closing."""
        if self._timer is None:
            self._heard_at = self._loop.time()
            self._timer = self._loop.call_later(patience_s, self._tick, patience_s)
        while not (self._quiet or self._topics.closing.is_set()):
            self._changed.clear()
            if found := await self._next():
                self._heard_at = self._loop.time()
                return found
            await self._changed.wait()
        self._quiet = False
        return []

    def _tick(self, patience_s: float) -> None:
        """One timer for as long as it listens: one for each wait was a fifth of what an event costs."""
        quiet_s = self._loop.time() - self._heard_at
        if quiet_s >= patience_s:
            self._quiet, quiet_s = True, 0.0
            self._heard_at = self._loop.time()
            self._changed.set()
        self._timer = self._loop.call_later(patience_s - quiet_s, self._tick, patience_s)

    def close(self) -> None:
        self._topics.leave(self)
        if self._timer is not None:
            self._timer.cancel()

    # What the reader calls.
    def offer(self, entry: Logged) -> None:
        if len(self._buffer) == BUFFER:
            self._buffer.clear()
            self.set_back()
            return
        self._buffer.append(entry)
        self._changed.set()

    def admitted(self, now: Place) -> None:
        """Everything behind `now` is going to be offered."""
        self._state, self._cut = _State.BEHIND, now
        self._changed.set()

    def set_back(self) -> None:
        self._topics.leave(self)
        self._state = _State.AWAY
        self._changed.set()

    def wake(self) -> None:
        self._changed.set()

    async def _next(self) -> list[News]:
        if self._state is _State.AWAY:
            if found := self._drain():
                return found
            self._state = _State.JOINING
            self._topics.join(self)
        if self._state is _State.BEHIND and not self._opened:
            self._opened = True
            self._after = self._after or self._cut
            return [Opened(self._after)]
        while self._state is _State.BEHIND:
            if found := await self._read_on():
                return found
        return self._drain()

    async def _read_on(self) -> list[News]:
        """The next page of the log, up to where the reader took over."""
        after = self._after or self._cut
        if after >= self._cut:
            self._state = _State.LIVE
            return []
        try:
            page = await self._topics.page(self.wanted, after)
        except LogUnavailable:
            self.set_back()
            return []
        found = [news for entry in page.entries for news in self._seen(entry)]
        self._after = page.until
        return [*found, self._missed(page.until)] if page.lost else found

    def _drain(self) -> list[News]:
        entries, self._buffer = self._buffer, deque()
        unseen = (entry for entry in entries if self._after is not None and entry.place > self._after)
        return [news for entry in unseen for news in self._seen(entry)]

    def _seen(self, entry: Logged) -> Iterator[News]:
        self._after = entry.place
        if entry.lost:
            yield self._missed(entry.place)
        if self.scope is None or self.scope == entry.principal:
            yield entry

    @staticmethod
    def _missed(place: Place) -> Missed:
        metrics.GAPS.inc()
        return Missed(place)


class Topics:
    def __init__(self, log: EventLog, closing: asyncio.Event) -> None:
        self._log, self.closing = log, closing
        self._listeners: set[Listener] = set()
        self._joining: set[Listener] = set()
        self._audience: dict[str, dict[str | None, set[Listener]]] = {}
        self._places: dict[str, Place] = {}
        self._wanted = asyncio.Event()
        self._catching_up = asyncio.Semaphore(_AT_ONCE)

    @contextmanager
    def listening(self, patterns: Iterable[str], scope: str | None, after: Place | None = None) -> Iterator[Listener]:
        """Hear what is told of these topics behind `after`, or from now on; of everybody's jobs, or only of those of
        the principal that `scope` names. Raises UnknownTopic."""
        listener = Listener(self, all_matching(patterns), scope, after)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            listener.close()

    def wake_everyone(self) -> None:
        """Who waits shall see that it is closing."""
        for listener in self._listeners:
            listener.wake()

    async def page(self, topics: frozenset[str], after: Place) -> Page:
        """Raises LogUnavailable."""
        async with self._catching_up:
            began = time.thread_time()
            page = await self._log.page(sorted(topics), after, max(1, _PAGE // len(topics)))
            await self._rest_since(began)
        return page

    def join(self, listener: Listener) -> None:
        self._joining.add(listener)
        self._wanted.set()

    def leave(self, listener: Listener) -> None:
        self._joining.discard(listener)
        for topic in listener.wanted & self._audience.keys():
            scopes = self._audience[topic]
            if audience := scopes.get(listener.scope):
                audience.discard(listener)
                if not audience:
                    del scopes[listener.scope]
            if not scopes:
                del self._audience[topic], self._places[topic]

    async def read(self) -> None:
        """Hand out what happens, for as long as the gateway runs."""
        while True:
            try:
                await self._wanted.wait()
                await self._look()
            except LogUnavailable as error:
                log.warning("topics_unheard", error=str(error))
                for listener in self._listeners - self._joining:
                    listener.set_back()
                await asyncio.sleep(_LOOK_AGAIN_S)

    async def _look(self) -> None:
        if self._joining:
            self._admit(await self._log.now())
        if not self._places:
            self._wanted.clear()
            return
        places = dict(self._places)
        entries = await self._log.follow(places, max(1, _READ // len(places)), _BLOCK_S)
        if entries:
            began = time.thread_time()
            for entry in entries:
                self._hand_out(entry)
            await asyncio.sleep(0)  # while everybody who was woken has its turn
            await asyncio.sleep(0)  # and what they wrote is sent
            await self._rest_since(began)

    @staticmethod
    async def _rest_since(began: float) -> None:
        """Counted in CPU time: on a busy machine the clock runs on while nothing is done."""
        await asyncio.sleep(max(_GATHER_S, _REST * (time.thread_time() - began)))

    def _admit(self, now: Place) -> None:
        for listener in self._joining:
            for topic in listener.wanted:
                self._places.setdefault(topic, now)
                self._audience.setdefault(topic, {}).setdefault(listener.scope, set()).add(listener)
            listener.admitted(now)
        self._joining.clear()

    def _hand_out(self, entry: Logged) -> None:
        if entry.topic not in self._places:
            return
        self._places[entry.topic] = entry.place
        scopes = self._audience[entry.topic]
        seen_by = scopes if entry.lost else scopes.keys() & {None, entry.principal}
        listeners = [listener for scope in seen_by for listener in scopes[scope]]
        for listener in listeners:
            listener.offer(entry)


@asynccontextmanager
async def open_topics(log: EventLog, closing: asyncio.Event) -> AsyncIterator[Topics]:
    topics = Topics(log, closing)
    reading = asyncio.create_task(topics.read())
    try:
        yield topics
    finally:
        await end(reading)
