"""The ledger's end of the live feed: each change of a job, and what is told of it, in one script."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from pydantic_core import to_json
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError, RedisError

from storage import event_log
from storage.connection import open_redis
from storage.event_log import Told
from storage.feed import PACE, feed_key
from storage.jobs import JobPatch
from storage.settings import StorageSettings

log = structlog.get_logger()

_MAX_ENTRIES = 512
_MOST_TOLD = 4096  # bytes of a change that are told to those who wait; larger ones are asked for

# XADD fails for an id that is not above the newest one: a duplicate or a straggler, which changes nothing, so the
# events that came with it are not told either.
_APPEND = (
    event_log.TELL
    + """
local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], ARGV[1] .. '-0', 'patch', ARGV[2])
if type(added) == 'table' and added.err then
  if string.find(added.err, 'equal or smaller') then return 0 end
  return added
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', KEYS[1], #ARGV[2] <= tonumber(ARGV[6]) and ARGV[1] .. ' ' .. ARGV[2] or '')
for at = 3, #KEYS do
  local first = 3 * at - 2
  tell(KEYS[2], KEYS[at], ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[5])
end
return 1
"""
)


class FeedWriter:
    """The ledger's end."""

    def __init__(self, redis: Redis, ttl_s: int) -> None:
        self._redis, self._ttl_s = redis, ttl_s
        self._script = redis.register_script(_APPEND).sha
        self._something_untold = False

    async def append(self, patches: Sequence[JobPatch], told: Mapping[str, Sequence[Told]] | None = None) -> None:
        """Add each patch to its job's feed, and what is to be `told` of that job, by its id, to the log of events.

        Never raises for an absent Redis: the feed is not the truth.
        """
        if not patches:
            return
        anew, self._something_untold = self._something_untold, False
        try:
            try:
                await self._write(patches, told or {}, anew=anew)
            except NoScriptError:  # asking before each pipeline whether it is there, as redis-py does, costs a turn
                await self._redis.script_load(_APPEND)
                await self._write(patches, told or {}, anew=anew)
        except (RedisError, OSError) as error:
            self._something_untold = True
            log.warning("feed_not_written", error=str(error), jobs=len(patches))

    async def _write(self, patches: Sequence[JobPatch], told: Mapping[str, Sequence[Told]], *, anew: bool) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            if anew:
                event_log.begin_epoch(pipeline)
            for patch in patches:
                self._add(pipeline, patch, told.get(patch.job_id, ()))
            await pipeline.execute(raise_on_error=True)

    def _add(self, pipeline: Pipeline, patch: JobPatch, told: Sequence[Told]) -> None:
        keys = [feed_key(patch.job_id), event_log.LOG, *(event_log.stream_of(event.topic) for event in told)]
        changed = to_json(patch.fields | (patch.birth or {}))
        limits = (self._ttl_s, _MAX_ENTRIES, event_log.MAX_ENTRIES, _MOST_TOLD)
        args: list[str | bytes | int] = [patch.order, changed, *limits]
        for event in told:
            args += (event.topic, event.principal, event.event)
        pipeline.evalsha(self._script, len(keys), *keys, *args)

    async def report_pace(self, seconds: dict[str, float]) -> None:
        """Tell gateways how long jobs of each kind take from submission to end, for their `Retry-After`."""
        with suppress(RedisError, OSError):
            await self._redis.hset(PACE, mapping={kind: f"{value:.3f}" for kind, value in seconds.items()})


@asynccontextmanager
async def open_feed_writer(settings: StorageSettings) -> AsyncIterator[FeedWriter]:
    async with open_redis(settings, settings.timeout_s) as redis:
        yield FeedWriter(redis, settings.feed_ttl_s)
