"""What models have answered, kept in Redis by what they were asked: an input that comes again costs no forward pass.

A key is a digest of all that an output follows from, so nothing ever has to be declared outdated; and of who asked,
so that neither an answer nor how soon it comes tells anybody what others have asked. Redis may lose all of this at
any time, and when it has little room left nothing more is kept.
"""

import asyncio
import hashlib
import struct
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from schemas.contract import Contract
from schemas.kinds import AnyKind
from storage.cancellation import end
from storage.connection import Patience, RedisUnavailable, open_redis
from storage.settings import StorageSettings

_FORMAT = 1  # of what a value holds, and of how outputs are made of what a network computes
_PATIENCE_S = 0.5
_MOST_WAITING = 5_000  # answers; behind a Redis that is slower than the models the rest is not kept
_MOST_BYTES = 64 * 1024  # of one answer
_ALL_AT_ONCE = 64  # answers that are read or written in less time than a thread's round trip takes

_LARGEST_SHARE = 0.5  # of Redis' memory in use: live feeds and what else is in it shall not make room for answers
_WITHOUT_LIMIT_BYTES = 256 * 2**20
_LOOK_EVERY_S = 1.0

_TRUNCATED, _NUMBERS = 1, 2
_SCALE = 10**7  # numbers are published with seven decimals; as integers they are exact, and half as long as text


@dataclass(frozen=True, slots=True)
class Kept:
    """One output, as JSON has it or as a contract."""

    output: Any
    truncated: bool
    """The input was longer than what the model reads."""


class Answering(NamedTuple):
    """Who answers whom: a model by its name, which for a registered one has the version."""

    kind: str
    principal: str
    name: str

    @property
    def key(self) -> bytes:
        return b"mr:answering:" + _digest(to_json(self)).digest()


def keys_of(
    kind: AnyKind, principal: str, model: Mapping[str, Any], params: Contract, inputs: Iterable[Any]
) -> list[bytes]:
    """For each of these inputs, where its output is kept. `model` is that of a result."""
    made_by = {name: value for name, value in model.items() if name not in ("name", "device")}
    options = params.model_dump(mode="json", exclude={"model", "inputs"})
    common = _digest(to_json([_FORMAT, kind.result.dataschema, principal, made_by, options]))
    return [b"mr:answer:" + _with(common, to_json(asked)).digest() for asked in inputs]


def result_of(kind: AnyKind, model: Mapping[str, Any], found: Sequence[Kept], *, degraded: bool = False) -> Contract:
    """A result of kept answers alone."""
    truncated = [index for index, kept in enumerate(found) if kept.truncated]
    result: Contract = kind.result.model_validate(
        {
            "outputs": [kept.output for kept in found],
            "model": model,
            "tokens": 0,
            "truncated": len(truncated),
            "truncated_inputs": truncated,
            "cached": len(found),
            "degraded": degraded,
            "timing": {"queue_s": 0.0, "run_s": 0.0},
        }
    )
    return result


class KeptAnswers:
    def __init__(self, redis: Redis, ttl_s: int) -> None:
        self._redis, self._ttl_s = redis, ttl_s
        self._patience = Patience()
        self._waiting: dict[bytes, Kept] = {}
        self._models: dict[bytes, bytes] = {}
        self._new = asyncio.Event()
        self._room, self._look_at = True, 0.0

    async def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """In the order of `keys`; nothing while Redis does not answer."""
        found: list[bytes | None] = [None] * len(keys)
        with suppress(RedisUnavailable), self._patience.asking():
            found = cast("list[bytes | None]", await self._redis.mget(keys))
        if len(found) <= _ALL_AT_ONCE:
            return _all_read(found)
        return await asyncio.to_thread(_all_read, found)

    async def model(self, answering: Answering) -> dict[str, Any] | None:
        """What its last answer called the model; None when nothing of it can be kept any more, or Redis is away."""
        with suppress(RedisUnavailable), self._patience.asking():
            found = await self._redis.get(answering.key)
            return None if found is None else cast("dict[str, Any]", from_json(found))
        return None

    def keep(self, answering: Answering, model: Mapping[str, Any], answers: Mapping[bytes, Kept]) -> None:
        """Soon, by key, and for as long as they live. Nobody waits for it."""
        if len(self._waiting) + len(answers) <= _MOST_WAITING:
            self._waiting.update(answers)
            self._models[answering.key] = to_json(model)
            self._new.set()

    async def write(self) -> None:
        """What is to be kept, for as long as this is open."""
        while True:
            await self._new.wait()
            self._new.clear()
            answers, self._waiting = self._waiting, {}
            models, self._models = self._models, {}
            with suppress(RedisUnavailable), self._patience.asking():
                await self._write(answers, models)

    async def _write(self, answers: Mapping[bytes, Kept], models: Mapping[bytes, bytes]) -> None:
        if not await self._has_room():
            return
        few = len(answers) <= _ALL_AT_ONCE
        values = _all_written(answers) if few else await asyncio.to_thread(_all_written, answers)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key, value in (*models.items(), *values.items()):
                pipeline.set(key, value, ex=self._ttl_s)
            await pipeline.execute()

    async def _has_room(self) -> bool:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S
            memory = await self._redis.info("memory")
            limit = memory["maxmemory"] * _LARGEST_SHARE or _WITHOUT_LIMIT_BYTES
            self._room = memory["used_memory"] < limit
        return self._room


@asynccontextmanager
async def open_kept_answers(settings: StorageSettings) -> AsyncIterator[KeptAnswers]:
    async with open_redis(settings, min(_PATIENCE_S, settings.timeout_s)) as redis:
        answers = KeptAnswers(redis, settings.answers_ttl_s)
        writing = asyncio.create_task(answers.write())
        try:
            yield answers
        finally:
            await end(writing)


def written(kept: Kept) -> bytes:
    """A byte of flags, then numbers as integers of four bytes, or JSON."""
    truncated = _TRUNCATED * kept.truncated
    if isinstance(kept.output, list) and kept.output and isinstance(kept.output[0], float):
        with suppress(struct.error):  # too large
            numbers = [round(number * _SCALE) for number in kept.output]
            return bytes((truncated | _NUMBERS,)) + struct.pack(f"<{len(numbers)}i", *numbers)
    return bytes((truncated,)) + to_json(kept.output)


def read(value: bytes) -> Kept:
    flags, rest = value[0], value[1:]
    if flags & _NUMBERS:
        output: Any = [number / _SCALE for number in struct.unpack(f"<{len(rest) // 4}i", rest)]
    else:
        output = from_json(rest)
    return Kept(output, bool(flags & _TRUNCATED))


def _all_written(answers: Mapping[bytes, Kept]) -> dict[bytes, bytes]:
    found = {key: written(kept) for key, kept in answers.items()}
    return {key: value for key, value in found.items() if len(value) <= _MOST_BYTES}


def _all_read(values: Sequence[bytes | None]) -> list[Kept | None]:
    return [None if value is None else read(value) for value in values]


def _digest(data: bytes) -> "hashlib.blake2b":
    return hashlib.blake2b(data, digest_size=16)


def _with(common: "hashlib.blake2b", data: bytes) -> "hashlib.blake2b":
    digest = common.copy()
    digest.update(data)
    return digest
