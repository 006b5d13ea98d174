"""One resident model as the handlers use it: tokeniser, batcher, identity."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consumers.devices import DeviceLost
from consumers.inference.batcher import Batcher, InputFailed
from consumers.inference.batching import NotFinite
from consumers.inference.ports import Facts, Labels, ModelIdentity, Tokens, Vectors
from consumers.inference.remote import RemoteModel
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.texts import Timing

_INLINE_CHARACTERS = 4_000  # tokenised in about a millisecond; a thread's round trip costs as much


@dataclass(frozen=True)
class Answer:
    vectors: list[Vectors]
    """One for each text, in their order, as the model's own last step leaves them: `[dimensions]`, `[labels]` of
    logits, or `[tokens, labels]`."""
    read: list[Tokens]
    """Of each text."""
    queue_s: float
    run_s: float

    @property
    def told(self) -> dict[str, Any]:
        """The fields that every result has."""
        return {
            "tokens": sum(len(one.input) for one in self.read),
            "truncated": sum(one.truncated for one in self.read),
            "timing": Timing(queue_s=self.queue_s, run_s=self.run_s),
        }


class TextModel:
    """Implements `residency.Residents`."""

    def __init__(self, remote: RemoteModel, *, kind: str) -> None:
        self._remote, self._reader = remote, remote.facts.reader
        self._batcher = Batcher(remote.forward, self.facts.batch_tokens, padded=self.facts.padded, kind=kind)

    @property
    def facts(self) -> Facts:
        return self._remote.facts

    @property
    def nbytes(self) -> int:
        return self.facts.nbytes

    @property
    def labels(self) -> Labels:
        return self.facts.labels

    @property
    def identity(self) -> ModelIdentity:
        return self.facts.identity

    @property
    def running(self) -> int:
        """Batches with the device."""
        return self._batcher.running

    async def answer(self, texts: Sequence[str], *, truncate: bool = True) -> Answer:
        """Raises Reject for a text that the model cannot read, or not as a whole when `truncate` is off, RetryLater
        while there is no room or no time for it, and InputFailed."""
        tokens = await self._read(texts)
        _check(tokens, truncate)
        try:
            done = await self._batcher.compute([one.input for one in tokens])
        except InputFailed as failed:
            raise verdict(failed) from failed.__cause__
        return Answer(done.vectors, tokens, done.queue_s, done.run_s)

    async def close(self) -> None:
        await self._batcher.close()
        await self._remote.evict()

    async def _read(self, texts: Sequence[str]) -> list[Tokens]:
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return self._reader.read(texts)
        return await asyncio.to_thread(self._reader.read, texts)


def verdict(failed: InputFailed) -> Exception:
    if isinstance(failed.__cause__, NotFinite):
        return Reject(f"/inputs/{failed.index}: {failed.__cause__}; leave it out", type="input-unusable")
    if isinstance(failed.__cause__, MemoryError):
        return RetryLater(f"/inputs/{failed.index}: no memory to run it alone")
    if isinstance(failed.__cause__, DeviceLost):
        detail = f"/inputs/{failed.index}: {failed.__cause__}, each time it was computed; leave it out"
        return Reject(detail, type="input-unusable")
    return failed


def _check(tokens: Sequence[Tokens], truncate: bool) -> None:
    for index, one in enumerate(tokens):
        if not one.input.ids:
            detail = "nothing in it that the model can read; leave it out"
            raise Reject(f"/inputs/{index}: {detail}", type="input-empty")
        if one.truncated and not truncate:
            detail = (
                f"longer than the {len(one.input)} tokens that the model reads; shorten it, or allow options.truncate"
            )
            raise Reject(f"/inputs/{index}: {detail}", type="input-too-long")
