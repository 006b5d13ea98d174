"""Reaching Redis, which only makes answers faster: one that does not answer soon is left alone for a while."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.settings import StorageSettings

_LEFT_ALONE_S = 1.0


class RedisUnavailable(Exception):
    """Redis does not answer."""


class Patience:
    """Shared by those who ask over one connection: a Redis that hangs costs one of them a time-out, and not all."""

    def __init__(self) -> None:
        self._ask_again_at = 0.0

    @property
    def reachable(self) -> bool:
        """Whether it is worth asking: it answered when it was last asked, or that is a while ago."""
        return time.monotonic() >= self._ask_again_at

    @contextmanager
    def asking(self, *, anyway: bool = False) -> Iterator[None]:
        """Raises RedisUnavailable: at once when it was away a moment ago, unless it is to be asked `anyway`."""
        if not (anyway or self.reachable):
            raise RedisUnavailable("Redis was away a moment ago")
        try:
            yield
        except (RedisError, OSError) as error:
            self._ask_again_at = time.monotonic() + _LEFT_ALONE_S
            raise RedisUnavailable(str(error)) from error
        self._ask_again_at = 0.0


@asynccontextmanager
async def open_redis(settings: StorageSettings, timeout_s: float) -> AsyncIterator[Redis]:
    """Connects lazily, so that an absent Redis keeps nobody from starting."""
    redis = Redis.from_url(settings.redis_url, socket_timeout=timeout_s, socket_connect_timeout=1.0)
    try:
        yield redis
    finally:
        await redis.aclose()
