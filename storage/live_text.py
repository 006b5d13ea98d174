"""What a language model writes, live: one stream per job in Redis, for those who read along, and for the worker that
goes on when the first one dies.

Entries are numbered by tokens: an entry's id is how many the text has with it. So a reader resumes by number, and
Redis itself sees to it that no token is told twice: an entry is added only where the one before it ends, whichever
worker writes it. When Redis has lost the stream, it is told again from the beginning under the same numbers, which is
the same text as far as the model's arithmetic is the same.

Numbers count within one generation of the job: an operator may have changed what a replayed one asks for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic_core import from_json, to_json
from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.connection import open_redis
from storage.feed import FeedReader
from storage.settings import StorageSettings

log = structlog.get_logger()

_GATHERED_S = 0.04
_KEPT_S = 900
_LEFT_ALONE_S = 1.0  # Redis, after a failure

# Adds what begins where the stream ends. Returns where it ended before.
_APPEND = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local ended = last[1] and tonumber(string.match(last[1][1], '^%d+')) or 0
if ended == tonumber(ARGV[1]) then
  redis.call('XADD', KEYS[1], ARGV[2] .. '-0', 'tokens', ARGV[3], 'texts', ARGV[4])
  redis.call('PUBLISH', KEYS[1], '')
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
return ended
"""


def live_text_key(job_id: str, generation: int) -> str:
    return f"mr:text:{job_id}:{generation}"


@dataclass(frozen=True)
class Stretch:
    """Some tokens in a row."""

    end: int
    """How many the text has with them."""
    tokens: Sequence[int]
    texts: Sequence[str]
    """What each adds to the text."""

    def behind(self, after: int) -> str:
        """What it adds for who has `after` tokens."""
        return "".join(self.texts[max(0, after - (self.end - len(self.texts))) :])


async def written(feed: FeedReader, key: str, after: int) -> list[Stretch]:
    """What comes behind `after` tokens, oldest first. Raises RedisUnavailable."""
    return [_stretch(*row) for row in await feed.stream(key, f"{after}-0" if after else None)]


def _stretch(id: bytes, row: dict[bytes, bytes]) -> Stretch:
    return Stretch(int(id.partition(b"-")[0]), from_json(row[b"tokens"]), from_json(row[b"texts"]))


class LiveTexts:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @asynccontextmanager
    async def of(self, job_id: str, generation: int) -> AsyncIterator["LiveText"]:
        """For one run of the job. What was added is there on exit, unless Redis is away."""
        live = LiveText(self._redis, live_text_key(job_id, generation))
        sending = asyncio.create_task(live.send())
        try:
            yield live
        finally:
            live.close()
            await sending


class LiveText:
    """Gathers tokens and sends them some at a time: the model never waits for Redis."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis, self._key = redis, key
        self._append = redis.register_script(_APPEND)
        self._tokens: list[int] = []
        self._texts: list[str] = []
        self._there = 0
        self._left_alone_until = 0.0
        self._new, self._closed = asyncio.Event(), asyncio.Event()

    async def written(self) -> list[int]:
        """The tokens that an earlier run has told; none when Redis is away."""
        with suppress(RedisError, OSError):
            rows: Any = await self._redis.xrange(self._key)
            return [token for _, row in rows for token in from_json(row[b"tokens"])]
        return []

    def repeat(self, tokens: Sequence[int], texts: Sequence[str]) -> None:
        """They are there already."""
        self._tokens += tokens
        self._texts += texts
        self._there = len(self._tokens)

    def add(self, token: int, text: str) -> None:
        self._tokens.append(token)
        self._texts.append(text)
        self._new.set()

    def close(self) -> None:
        self._closed.set()
        self._new.set()

    async def send(self) -> None:
        """Until it is closed."""
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

    async def _flush(self) -> None:
        if time.monotonic() < self._left_alone_until:
            return
        try:
            while self._there < len(self._tokens):
                self._there = await self._tell(self._there, len(self._tokens))
        except (RedisError, OSError) as error:
            log.warning("text_not_shown", error=str(error))
            self._left_alone_until = time.monotonic() + _LEFT_ALONE_S

    async def _tell(self, start: int, end: int) -> int:
        """Where the stream ends now: further on when somebody else writes the same, back when Redis lost it."""
        tokens, texts = to_json(self._tokens[start:end]), to_json(self._texts[start:end])
        ended = int(await self._append(keys=[self._key], args=[start, end, tokens, texts, _KEPT_S]))
        return end if ended == start else ended


@asynccontextmanager
async def open_live_texts(settings: StorageSettings) -> AsyncIterator[LiveTexts]:
    async with open_redis(settings, 1.0) as redis:
        yield LiveTexts(redis)
