"""An engine without torch, that dies of some texts."""

import os
import signal
from collections.abc import Sequence

import numpy as np

from consumers.inference.batching import Isolated, forward_isolating
from consumers.inference.ports import Archive, Facts, Files, Forwarded, Input, Labels, ModelIdentity
from consumers.inference.settings import InferenceSettings
from consumers.inference.tokenizing import CharacterReader

DEADLY = "\N{SKULL}"


class ToyEngine:
    """A vector is `[first character, length]`. Of a DEADLY character it dies."""

    def __init__(self, _settings: InferenceSettings) -> None:
        self._loaded: set[int] = set()

    def load(self, key: int, what: Files | Archive, dtype: str) -> Facts:
        self._loaded.add(key)
        identity = ModelIdentity(str(what), "0" * 64, dtype, "toy")
        return Facts(identity, CharacterReader(), Labels(), padded=False, nbytes=1, load_s=0.0, batch_tokens=64)

    def forward(self, key: int, batch: Sequence[Input]) -> Isolated:
        assert key in self._loaded
        return forward_isolating(self._compute, batch)

    def evict(self, key: int) -> None:
        self._loaded.remove(key)

    def _compute(self, batch: Sequence[Input]) -> Forwarded:
        if any(ord(DEADLY) in one.ids for one in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return Forwarded([np.array([one.ids[0], len(one)], np.float32) for one in batch], sum(map(len, batch)))
