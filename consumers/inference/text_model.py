"""One resident model as the handlers use it: tokeniser, batcher, identity."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from consumers.devices import DeviceLost
from consumers.inference.batcher import Batcher, InputFailed
from consumers.inference.batching import NotFinite
from consumers.inference.ports import Facts, Labels, ModelIdentity, Tokens, Vectors
from consumers.inference.remote import RemoteModel
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.texts import Timing

R = TypeVar("R")

_INLINE_CHARACTERS = 4_000  # tokenised in about a millisecond; a thread's round trip costs as much


@dataclass(frozen=True)
class Answer:
    vectors: list[Vectors]
    """One for each of what was read, as `ports.Forwarded` has them."""
    read: Sequence[Tokens]
    queue_s: float
    run_s: float

    @property
    def told(self) -> dict[str, Any]:
        """The fields that every result has."""
        truncated = sorted({one.index for one in self.read if one.truncated})
        return {
            "tokens": sum(len(one.input) for one in self.read),
            "truncated": len(truncated),
            "truncated_inputs": truncated,
            "timing": Timing(queue_s=self.queue_s, run_s=self.run_s),
        }


class TextModel:
    """Implements `residency.Residents`."""

    def __init__(self, remote: RemoteModel, *, kind: str) -> None:
        self._remote, self.reader = remote, remote.facts.reader
        self._batcher = Batcher(remote.forward, self.facts.batch_tokens, padded=self.facts.padded, kind=kind)
        for tokens, seconds in self.facts.timings:
            self._batcher.pace.learn(tokens, seconds)

    @property
    def facts(self) -> Facts:
        return self._remote.facts

    @property
    def nbytes(self) -> int:
        """Weights, and what a forward pass takes beside them."""
        return self.facts.nbytes + self.facts.peak_bytes

    @property
    def labels(self) -> Labels:
        return self.facts.labels

    @property
    def identity(self) -> ModelIdentity:
        return self.facts.identity

    @property
    def line(self) -> tuple[float, float]:
        """Seconds of a forward pass, and of each of its tokens."""
        return self._batcher.pace.line

    @property
    def running(self) -> int:
        """Batches with the device."""
        return self._batcher.running

    async def answer(self, texts: Sequence[str], *, truncate: bool = True) -> Answer:
        """Raises Reject for a text that the model cannot read, or not as a whole when `truncate` is off, RetryLater
        while there is no room or no time for it, and InputFailed."""
        read: list[Tokens] = await self.reading(partial(self.reader.read, texts), sum(map(len, texts)))
        check(read, truncate=truncate)
        return await self.compute(read)

    async def reading(self, read: Callable[[], R], characters: int) -> R:
        """In a thread when it takes long."""
        return read() if characters <= _INLINE_CHARACTERS else await asyncio.to_thread(read)

    async def compute(self, read: Sequence[Tokens]) -> Answer:
        """Raises as `answer` does."""
        try:
            done = await self._batcher.compute([one.input for one in read])
        except InputFailed as failed:
            raise verdict(failed, read[failed.index].index) from failed.__cause__
        return Answer(done.vectors, read, done.queue_s, done.run_s)

    async def close(self) -> None:
        await self._batcher.close()
        await self._remote.evict()


def verdict(failed: InputFailed, index: int) -> Exception:
    """What comes of it for the job, whose input `index` it is."""
    if isinstance(failed.__cause__, NotFinite):
        return Reject(f"/inputs/{index}: {failed.__cause__}; leave it out", type="input-unusable")
    if isinstance(failed.__cause__, MemoryError):
        return RetryLater(f"/inputs/{index}: no memory to run it alone")
    if isinstance(failed.__cause__, DeviceLost):
        detail = f"/inputs/{index}: {failed.__cause__}, each time it was computed; leave it out"
        return Reject(detail, type="input-unusable")
    return failed


def check(read: Sequence[Tokens], *, truncate: bool) -> None:
    """Raises Reject for what the model cannot read, or not as a whole when `truncate` is off."""
    for one in read:
        if not one.input.ids:
            detail = "nothing in it that the model can read; leave it out"
            raise Reject(f"/inputs/{one.index}: {detail}", type="input-empty")
        if one.truncated and not truncate:
            detail = (
                f"longer than the {len(one.input)} tokens that the model reads; shorten it, or allow options.truncate"
            )
            raise Reject(f"/inputs/{one.index}: {detail}", type="input-too-long")
