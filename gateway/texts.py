"""Reading along while a language model writes: live while Redis has it, else from the job's result."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from gateway.dependencies import Parts
from schemas.lifecycle import JobState
from schemas.resources import Job
from storage.connection import RedisUnavailable
from storage.live_text import Stretch, live_text_key, written

_LOOK_EVERY_S = 3.0
"""Without having been woken: a publish may have been lost, or Redis may be away altogether."""


@dataclass(frozen=True)
class Piece:
    text: str
    tokens: int
    """That the text has with it."""


@dataclass(frozen=True)
class Void:
    """What was told before cannot be continued: the whole text follows."""


@dataclass(frozen=True)
class Ended:
    job: Job


Told = Piece | Void | Ended


async def follow(
    parts: Parts, job_id: str, generation: int, after: int, keep_alive_s: float
) -> AsyncGenerator[Told | None, None]:
    """What is written behind `after` tokens, and the job's end, unless the gateway stops before; None where a
    keep-alive is due."""
    reader = _Reader(after)
    key = live_text_key(job_id, generation)
    loop = asyncio.get_running_loop()
    quiet_since = loop.time()
    async with parts.feed.listening(job_id, key) as changed:
        while not parts.closing.is_set():
            job = await parts.view.look(job_id)  # first: what a job that has ended wrote is all there
            for piece in reader.read(await _live(parts, key, reader.after)):
                yield piece
                quiet_since = loop.time()
            if job is not None and job.terminal:
                resource = await parts.view.resource(job)
                for rest in reader.rest(resource):
                    yield rest
                yield Ended(resource)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK_EVERY_S, keep_alive_s)):
                    await changed.wait()
            changed.clear()
            if loop.time() - quiet_since >= keep_alive_s:
                yield None
                quiet_since = loop.time()


class _Reader:
    """Knows what its client has."""

    def __init__(self, after: int) -> None:
        self.after = after
        self._told: str | None = None if after else ""
        """None when it began in the middle."""

    def read(self, stretches: list[Stretch]) -> list[Piece]:
        pieces = []
        for stretch in stretches:
            text = stretch.behind(self.after)
            self.after = max(self.after, stretch.end)
            if text:
                pieces.append(Piece(text, self.after))
                self._told = None if self._told is None else self._told + text
        return pieces

    def rest(self, job: Job) -> list[Told]:
        """What the result has beyond that, when Redis did not have all of it."""
        if job.status is not JobState.SUCCEEDED or job.result is None:
            return []
        text, usage = job.result.get("text"), job.result.get("usage")
        if not isinstance(text, str) or not isinstance(usage, dict):  # of another kind
            return []
        tokens = int(str(usage["completion_tokens"]))
        if self.after >= tokens:
            return []
        if self._told is not None and text.startswith(self._told):
            return [Piece(text[len(self._told) :], tokens)] if len(text) > len(self._told) else []
        return [Void(), Piece(text, tokens)]


async def _live(parts: Parts, key: str, after: int) -> list[Stretch]:
    with suppress(RedisUnavailable):
        return await written(parts.feed, key, after)
    return []
