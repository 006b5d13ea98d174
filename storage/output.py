"""What a running program writes, live: one capped stream per job in Redis, for those who watch.

Each run begins with an entry that says so: a job that runs again, because its worker died, starts anew, and who
watches forgets what came before. The whole output is part of the job's result, which is the truth; this may be lost
at any time, and ends when it has become long.
"""

import asyncio
import codecs
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.execution import Stream
from storage.connection import open_redis
from storage.feed import FeedReader
from storage.settings import StorageSettings

log = structlog.get_logger()

STARTED, TRUNCATED = "started", "truncated"
_MOST_CHARACTERS = 256 * 1024
_GATHERED_S = 0.05
_KEPT_S = 900  # longer than a program may be silent
_GATHERED_CHARACTERS = 16 * 1024


def output_key(job_id: str) -> str:
    return f"mr:output:{job_id}"


@dataclass(frozen=True)
class OutputEntry:
    id: str
    what: str
    """A stream, or STARTED, or TRUNCATED, behind which nothing comes."""
    text: str


async def written(feed: FeedReader, job_id: str, after: str | None) -> list[OutputEntry]:
    """Behind the entry `after`, oldest first. Raises RedisUnavailable."""
    rows = await feed.stream(output_key(job_id), after)
    return [OutputEntry(entry.decode(), row[b"what"].decode(), row[b"text"].decode()) for entry, row in rows]


class OutputWriter:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @asynccontextmanager
    async def of(self, job_id: str) -> AsyncIterator["LiveOutput"]:
        """For one run of the job. What was written is there on exit, unless Redis is away."""
        live = LiveOutput(self._redis, output_key(job_id))
        sending = asyncio.create_task(live.send())
        try:
            yield live
        finally:
            live.close()
            await sending


class LiveOutput:
    """Gathers pieces and sends them several at a time: the program never waits for Redis."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis, self._key = redis, key
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in Stream}
        self._waiting: list[tuple[str, str]] = [(STARTED, "")]
        self._left = _MOST_CHARACTERS
        self._new, self._closed = asyncio.Event(), asyncio.Event()

    def write(self, stream: Stream, piece: bytes) -> None:
        if self._left > 0 and (text := self._decoders[stream].decode(piece)):
            self._add(stream, text)

    def close(self) -> None:
        for stream, decoder in self._decoders.items():
            if self._left > 0 and (text := decoder.decode(b"", final=True)):
                self._add(stream, text)
        self._closed.set()
        self._new.set()

    async def send(self) -> None:
        """Until it is closed. A failure ends it: what would follow has no beginning."""
        try:
            while True:
                closing = self._closed.is_set()  # before the flush: nothing is added after it was closed
                await self._flush()
                if closing:
                    return
                await self._new.wait()
                self._new.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GATHERED_S):
                        await self._closed.wait()
        except (RedisError, OSError) as error:
            log.warning("output_not_shown", error=str(error))
            self._left = 0

    def _add(self, stream: Stream, text: str) -> None:
        self._waiting.append((stream.value, text[: self._left]))
        self._left -= len(text)
        if self._left <= 0:
            self._waiting.append((TRUNCATED, ""))
        self._new.set()

    async def _flush(self) -> None:
        entries, self._waiting = _joined(self._waiting), []
        if not entries:
            return
        async with self._redis.pipeline(transaction=False) as pipeline:
            for what, text in entries:
                pipeline.xadd(self._key, {"what": what, "text": text})
            pipeline.expire(self._key, _KEPT_S)
            pipeline.publish(self._key, "")
            await pipeline.execute()


def _joined(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one stream as one, up to a size that nobody minds to receive at once."""
    found: list[tuple[str, str]] = []
    for what, text in pieces:
        if found and found[-1][0] == what and len(found[-1][1]) + len(text) <= _GATHERED_CHARACTERS:
            found[-1] = (what, found[-1][1] + text)
        else:
            found.append((what, text))
    return found


@asynccontextmanager
async def open_output_writer(settings: StorageSettings) -> AsyncIterator[OutputWriter]:
    async with open_redis(settings, 1.0) as redis:
        yield OutputWriter(redis)
