"""The live feed of each job in Redis: what changed, in order, for those who wait, poll or stream right now.

One capped stream per job. An entry's id is the job's order after the change, so Redis itself refuses duplicates and
stragglers, whichever ledger writes them, and a reader resumes from the last id it saw. Merging all entries gives the
job as the store has it; when they are not all here the store answers. A publish on the job's channel wakes those
who wait, and a small change comes with it. Redis may lose all of this at any time: it only makes answers faster. What
writes it is `feed_writer`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog
from pydantic_core import from_json
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from storage.cancellation import end
from storage.connection import Patience, RedisUnavailable, open_redis
from storage.event_log import EventLog
from storage.settings import StorageSettings

log = structlog.get_logger()

_RECONNECT_S = 1.0
_PATIENCE_S = 1.0  # one that takes longer is no help
_KEEP_OPEN = "mr:keep-open"  # a subscription connection can only be read while it is subscribed to something
PACE = "mr:pace"
_LEAVE_AT_ONCE = 32
_RESERVATION_TTL_S = 24 * 3600

# What was noted first stands. A script, since `SET NX GET` needs Redis 7.
_RESERVE = """
local before = redis.call('GET', KEYS[1])
if not before then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return before
"""


@dataclass(frozen=True)
class FeedEntry:
    order: int
    patch: dict[str, Any]
    """JSON values of the projection's fields that changed; those of the birth included."""


class Changed(asyncio.Event):
    """Set when a job changes, or something else that is listened to."""

    _told = b""

    def tell(self, told: bytes) -> None:
        self._told = told
        self.set()

    def take(self) -> FeedEntry | None:
        """Begin to listen anew. Returns what changed last, when that was told."""
        self.clear()
        told, self._told = self._told, b""
        order, _, patch = told.partition(b" ")
        return FeedEntry(int(order), from_json(patch)) if patch else None


def feed_key(job_id: str) -> str:
    return f"mr:job:{job_id}"


class FeedReader:
    """The gateway's end: one subscription connection for all who wait, however many they are."""

    def __init__(self, redis: Redis, pubsub: PubSub) -> None:
        self._redis, self._pubsub = redis, pubsub
        self._reserve = redis.register_script(_RESERVE)
        self._patience = Patience()
        self._waiting: dict[str, set[Changed]] = {}
        self._left: set[str] = set()  # subscribed to, though nobody waits any more
        self._opening = asyncio.Lock()  # two first subscriptions at once would open two connections and lose one

    async def entries(self, job_id: str, after: int | None = None) -> list[FeedEntry]:
        """Entries with an order above `after`, oldest first. Raises RedisUnavailable."""
        entries = await self.stream(feed_key(job_id), None if after is None else f"{after}-0")
        return [FeedEntry(int(entry.partition(b"-")[0]), from_json(values[b"patch"])) for entry, values in entries]

    async def stream(self, key: str, after: str | None) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Ids and values of a stream in Redis, oldest first, behind the id `after`. Raises RedisUnavailable."""
        with self._patience.asking():
            found = await self._redis.xrange(key, "-" if after is None else f"({after}")
        return cast("list[tuple[bytes, dict[bytes, bytes]]]", found)

    @property
    def reachable(self) -> bool:
        return self._patience.reachable

    @asynccontextmanager
    async def listening(self, job_id: str, *more: str) -> AsyncIterator[Changed]:
        """Yields an event that is set whenever the job changes, or one of the keys `more`. Look at the job after
        entering, then wait: what happens in between sets the event. Without Redis the event stays unset: so wait with
        a limit, and look."""
        changed = Changed()
        keys = (feed_key(job_id), *more)
        unheard = [key for key in keys if key not in self._waiting and key not in self._left]
        self._left.difference_update(keys)
        for key in keys:
            self._waiting.setdefault(key, set()).add(changed)
        try:
            with suppress(RedisUnavailable):
                for key in unheard:
                    with self._patience.asking():
                        await self._subscribe(key)
            yield changed
        finally:
            for key in keys:
                self._leave(key, changed)
            await self._leave_many()

    def _leave(self, key: str, changed: Changed) -> None:
        self._waiting[key].discard(changed)
        if not self._waiting[key]:
            del self._waiting[key]
            self._left.add(key)

    async def _leave_many(self) -> None:
        """Redis answers each with a message of its own, which would wake us once more for each job."""
        if len(self._left) < _LEAVE_AT_ONCE:
            return
        left, self._left = self._left, set()
        with suppress(RedisError, OSError):
            async with self._opening:  # behind it, whoever comes back to one of these subscribes anew
                await self._pubsub.unsubscribe(*left)

    async def _subscribe(self, key: str) -> None:
        async with self._opening:
            await self._pubsub.subscribe(key)

    async def wake_waiters(self) -> None:
        """Hand every publish to its waiters, for as long as the gateway runs."""
        while True:
            try:
                if not self._pubsub.subscribed:
                    await self._subscribe(_KEEP_OPEN)
                message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=None)
            except (RedisError, OSError) as error:
                log.warning("feed_lost", error=str(error))
                await asyncio.sleep(_RECONNECT_S)
                continue
            if message is not None:
                self._wake(message["channel"].decode(), message["data"])

    def wake_everyone(self) -> None:
        """Who waits shall look at something else than the job."""
        for key in self._waiting:
            self._wake(key)

    def _wake(self, key: str, told: bytes = b"") -> None:
        for changed in self._waiting.get(key, ()):
            changed.tell(told)

    async def pace(self) -> dict[str, float]:
        """Seconds from submission to end per kind, as last reported; empty without Redis."""
        found: dict[bytes, bytes] = {}
        with suppress(RedisUnavailable), self._patience.asking():
            found = cast("dict[bytes, bytes]", await self._redis.hgetall(PACE))
        return {kind.decode(): float(value) for kind, value in found.items()}

    async def reserve(self, job_id: str, digest: str) -> str | None:
        """Note that this job is about to be requested with parameters of this digest. Returns the digest that was
        noted before, None when there was none or when Redis is away: then the store tells, a moment later."""
        before = None
        with suppress(RedisUnavailable), self._patience.asking():
            before = await self._reserve(keys=[f"mr:request:{job_id}"], args=[digest, _RESERVATION_TTL_S])
        return before.decode() if isinstance(before, bytes) else None

    async def ping(self) -> None:
        """Asks in any case. Raises RedisUnavailable."""
        with self._patience.asking(anyway=True):
            await self._redis.ping()


async def live_feeds(settings: StorageSettings) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Every job with a live feed, and all that its entries say, merged. Ends early when Redis goes away."""
    async with open_redis(settings, settings.timeout_s) as redis:
        with suppress(RedisError, OSError):
            async for key in redis.scan_iter(match=feed_key("*"), count=1_000):
                found = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(key))
                fields: dict[str, Any] = {}
                for _, values in found:
                    fields |= from_json(values[b"patch"])
                yield key.decode().removeprefix(feed_key("")), fields


@asynccontextmanager
async def open_feed_reader(settings: StorageSettings) -> AsyncIterator[FeedReader]:
    # A connection of its own for the subscription, which may stay silent for as long as it likes.
    subscription = Redis.from_url(settings.redis_url, socket_timeout=None, socket_connect_timeout=1.0)
    patience_s = min(_PATIENCE_S, settings.timeout_s)
    async with open_redis(settings, patience_s) as redis, subscription, subscription.pubsub() as pubsub:
        reader = FeedReader(redis, pubsub)
        waking = asyncio.create_task(reader.wake_waiters())
        try:
            yield reader
        finally:
            await end(waking)


@asynccontextmanager
async def open_event_log(settings: StorageSettings) -> AsyncIterator[EventLog]:
    async with open_redis(settings, settings.timeout_s) as redis:
        yield EventLog(redis)
