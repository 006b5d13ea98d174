"""Following what a program writes: live while Redis has it, else from the job's result."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from gateway.dependencies import Parts
from gateway.streaming import CLOSING, KEEP_ALIVE
from schemas.execution import Stream
from schemas.resources import Job
from storage.connection import RedisUnavailable
from storage.output import OutputEntry, output_key, written

_LOOK_EVERY_S = 3.0
"""Without having been woken: a publish may have been lost, or Redis may be away altogether."""
ENDED = "ended"
"""The name of the last event, and its id: who has seen it misses nothing."""


async def follow(parts: Parts, job_id: str, after: str | None, keep_alive_s: float) -> AsyncIterator[str]:
    """Server-sent events behind the entry `after`, the last of which carries the job."""
    loop = asyncio.get_running_loop()
    quiet_since = loop.time()
    async with parts.feed.listening(job_id, output_key(job_id)) as changed:
        while not parts.closing.is_set():
            found = await parts.view.look(job_id)  # first: what a job that has ended wrote is all there
            for entry in await _live(parts, job_id, after):
                yield event(entry.what, {"text": entry.text}, entry.id)
                after, quiet_since = entry.id, loop.time()
            if found is not None and found.terminal:
                job = await parts.view.resource(found)
                for piece in [] if after else _kept(job):
                    yield piece
                yield f"id: {ENDED}\nevent: {ENDED}\ndata: {job.model_dump_json()}\n\n"
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK_EVERY_S, keep_alive_s)):
                    await changed.wait()
            changed.clear()
            if loop.time() - quiet_since >= keep_alive_s:
                yield KEEP_ALIVE
                quiet_since = loop.time()
    yield CLOSING


def event(name: str, data: dict[str, str], id: str | None = None) -> str:
    head = "" if id is None else f"id: {id}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n"


async def _live(parts: Parts, job_id: str, after: str | None) -> list[OutputEntry]:
    with suppress(RedisUnavailable):
        return await written(parts.feed, job_id, after)
    return []


def _kept(job: Job) -> list[str]:
    """What the result says of a job that nobody could watch, or that ended long ago."""
    result = job.result or {}
    texts = {stream.value: result.get(stream.value) for stream in Stream}
    return [event(name, {"text": text}) for name, text in texts.items() if isinstance(text, str) and text]
