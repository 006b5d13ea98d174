"""What happened, by topic, in Redis: the log that those read who listen over HTTP, and read again when they resume.

One capped stream per topic, so that a quiet topic keeps its past beside a busy one, and nobody reads what he did not
ask for. All entries are numbered by one counter, within the script that appends them: several topics have one order,
and one id says how far somebody has read.

Nothing is lost in silence. An entry names the one before it of its topic, so a reader sees that the cap, or an
eviction, took what he had not read. The counter belongs to an epoch: when Redis has lost it, or a writer could not
write, a new epoch begins, and ids of another are no place in this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

LOG = "mr:log"
"""A hash: the epoch, the last number, and for each topic the number of its last entry."""
MAX_ENTRIES = 5_000
"""Of each topic. Redis trims whole nodes of its streams, so there may be some more."""

_EPOCH, _NUMBER = "epoch", "number"

# For the script of the live feed: an event is told when the change that it made was taken.
TELL = """
local function number_of_now()
  local now = redis.call('TIME')
  return string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
end
local function tell(log, stream, topic, principal, event, cap)
  local epoch = redis.call('HGET', log, 'epoch')
  if not epoch then
    epoch = number_of_now()
    redis.call('HSET', log, 'epoch', epoch)
  end
  local number = redis.call('HINCRBY', log, 'number', 1)
  local before = redis.call('HGET', log, topic) or 0
  redis.call('HSET', log, topic, number)
  redis.call('XADD', stream, 'MAXLEN', '~', cap, epoch .. '-' .. number, 'b', before, 'p', principal, 'e', event)
end
"""

_NOW = (
    TELL
    + """
redis.call('HSETNX', KEYS[1], 'epoch', number_of_now())
return redis.call('HMGET', KEYS[1], 'epoch', 'number')
"""
)


class LogUnavailable(Exception):
    """Redis does not answer."""


class Place(NamedTuple):
    """How far somebody has read. Later ones are greater, also beyond an epoch."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Raises ValueError."""
        epoch, _, number = text.partition("-")
        if not (epoch.isdecimal() and number.isdecimal() and len(text) <= 40):
            raise ValueError(f"{text!r} is no place in the log")
        return cls(int(epoch), int(number))


@dataclass(frozen=True)
class Told:
    """An event to be appended."""

    topic: str
    principal: str
    """Whose job it is about."""
    event: bytes
    """JSON, without line breaks."""


@dataclass(frozen=True, eq=False)
class Logged:
    """An event as it was appended, shared by all who read it."""

    place: Place
    topic: str
    principal: str
    event: bytes
    lost: bool
    """Whether events of this topic, between the reader's place and this one, are not in the log any more."""

    @cached_property
    def sse(self) -> bytes:
        """As a server-sent event."""
        return b"id: %s\ndata: %s\n\n" % (str(self.place).encode(), self.event)

    @cached_property
    def text(self) -> str:
        return self.event.decode()


@dataclass(frozen=True)
class Page:
    entries: list[Logged]
    until: Place
    """Everything up to here has been read."""
    lost: bool
    """Whether there was more up to there that is not in the log any more."""


def stream_of(topic: str) -> str:
    return f"{LOG}:{topic}"


def begin_epoch(pipeline: Pipeline) -> None:
    """From here on ids are of another epoch, so that everybody learns that something may be missing."""
    pipeline.delete(LOG)


class EventLog:
    """The reader's end. Raises LogUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._now = redis.register_script(_NOW)

    async def now(self) -> Place:
        """Behind everything that has been told."""
        try:
            return _place(await self._now(keys=[LOG]))
        except (RedisError, OSError) as error:
            raise LogUnavailable(str(error)) from error

    async def follow(self, places: Mapping[str, Place], limit: int, block_s: float) -> list[Logged]:
        """What was told of each topic behind its place, in order; empty when nothing was for so long."""
        wanted: dict[Any, Any] = {stream_of(topic): str(place) for topic, place in places.items()}
        try:
            found = await self._redis.xread(wanted, count=limit, block=int(block_s * 1000))
        except (RedisError, OSError) as error:
            raise LogUnavailable(str(error)) from error
        return _in_order(found, places, limit)

    async def page(self, topics: Sequence[str], after: Place, limit: int) -> Page:
        """What was told of these topics behind `after`."""
        places = dict.fromkeys(topics, after)
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hmget(LOG, [_EPOCH, _NUMBER, *topics])
                pipeline.xread({stream_of(topic): str(after) for topic in topics}, count=limit)
                (epoch, number, *numbers), found = await pipeline.execute()
        except (RedisError, OSError) as error:
            raise LogUnavailable(str(error)) from error
        entries = _in_order(found, places, limit)
        if len(entries) >= limit:  # then there may be more; fewer are all there are
            return Page(entries, entries[-1].place, False)
        until = _place([epoch, number])
        last = entries[-1].place if entries else after
        newest = max((int(one or 0) for one in numbers), default=0)
        return Page(entries, max(until, last), last.epoch != until.epoch or newest > last.number)


def _place(found: Sequence[bytes | None]) -> Place:
    return Place(int(found[0] or 0), int(found[1] or 0))


def _in_order(found: Any, places: Mapping[str, Place], limit: int) -> list[Logged]:
    """Merged, and cut where a stream was not read to its end: what it still has comes before what lies behind."""
    entries: list[Logged] = []
    cut: Place | None = None
    for name, rows in found:
        topic = name.decode().removeprefix(stream_of(""))
        read = list(_entries(topic, rows, places[topic]))
        if len(read) >= limit:
            cut = min(cut or read[-1].place, read[-1].place)
        entries += read
    entries.sort(key=lambda entry: entry.place)
    return entries if cut is None else [entry for entry in entries if entry.place <= cut]


def _entries(topic: str, rows: Sequence[tuple[bytes, dict[bytes, bytes]]], place: Place) -> list[Logged]:
    found = []
    for entry_id, fields in rows:
        at = Place.parse(entry_id.decode())
        lost = at.epoch != place.epoch or int(fields[b"b"]) > place.number
        found.append(Logged(at, topic, fields[b"p"].decode(), fields[b"e"], lost))
        place = at
    return found
