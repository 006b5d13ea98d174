"""One resident model as the handler uses it: tokeniser, batcher, identity."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from consumers.inference.batcher import Batcher
from consumers.inference.ports import Encoder, ModelIdentity, Tokens, Vectors
from consumers.runtime.verdicts import Reject

_INLINE_CHARACTERS = 4_000  # tokenised in about a millisecond; a thread's round trip costs as much


@dataclass(frozen=True)
class Embedding:
    vectors: Vectors
    """Shape `[texts, dimensions]`, in the order of the texts, as the model's own last step leaves them."""
    tokens: int
    truncated: int
    queue_s: float
    run_s: float


class EmbeddingModel:
    """Implements `residency.Residents`."""

    def __init__(
        self, encoder: Encoder, nbytes: int, executor: Executor, max_batch_tokens: int, *, kind: str
    ) -> None:
        self.nbytes = nbytes
        self._encoder = encoder
        self._batcher = Batcher(encoder, executor, max_batch_tokens, kind=kind)

    @property
    def identity(self) -> ModelIdentity:
        return self._encoder.identity

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Raises Reject for a text without tokens, and what `Batcher.embed` raises."""
        tokens = await self._tokenize(texts)
        empty = next((index for index, one in enumerate(tokens) if not one.ids), None)
        if empty is not None:
            raise Reject(f"/inputs/{empty}: nothing in it that the model can read; leave it out", type="input-empty")
        done = await self._batcher.embed([one.ids for one in tokens])
        return Embedding(
            vectors=done.vectors,
            tokens=sum(len(one.ids) for one in tokens),
            truncated=sum(one.truncated for one in tokens),
            queue_s=done.queue_s,
            run_s=done.run_s,
        )

    async def close(self) -> None:
        await self._batcher.close()

    async def _tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return self._encoder.tokenize(texts)
        return await asyncio.to_thread(self._encoder.tokenize, texts)
