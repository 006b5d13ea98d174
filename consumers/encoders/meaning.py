"""The bundled encoder's vectors of texts, for features: each text by itself, and each once.

Alone, and with one thread, a text has the same vector to the bit whatever else is asked for: in a batch its last bits
would follow from the padding, and a training that was resumed would become another model.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from consumers.encoders.digest import weights_digest
from consumers.encoders.layout import read_layout
from consumers.encoders.pooling import pool
from consumers.encoders.reading import off_the_file, read_config, read_encoder, read_tokenizer, refusing
from consumers.encoders.settings import ModelSettings
from consumers.encoders.sources import find_model
from consumers.encoders.threads import threads
from schemas.texts import DEFAULT_MODEL

Vector = NDArray[np.float32]

_MOST_KEPT = 100_000
"""Texts; 150 MB."""


class Meanings:
    def __init__(self) -> None:
        source = find_model(DEFAULT_MODEL, ModelSettings())
        layout = read_layout(source)
        with refusing(source):
            config = read_config(source, layout)
            self._tokenizer = read_tokenizer(layout, config)
            self._body: Any = read_encoder(source, layout, config, torch.float32)
        off_the_file(self._body)
        self._pooling = layout.pooling
        self._kept: dict[str, Vector] = {}
        self.dimensions: int = config.hidden_size
        self.sha256 = weights_digest(layout.weights)

    def of(self, texts: Iterable[str | None]) -> Vector:
        """Shape `[texts, dimensions]`, of length one; zeros where there is no text."""
        with torch.inference_mode(), threads(1):
            found = [self._one(text) if text else np.zeros(self.dimensions, np.float32) for text in texts]
        return np.array(found, np.float32).reshape(-1, self.dimensions)

    def _one(self, text: str) -> Vector:
        if text not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            ids = torch.tensor([self._tokenizer.encode(text).ids])
            mask = torch.ones_like(ids)
            states = self._body(input_ids=ids, attention_mask=mask).last_hidden_state
            vector = pool(states, mask.bool(), self._pooling)[0]
            self._kept[text] = torch.nn.functional.normalize(vector, dim=0).numpy()
        return self._kept[text]


@cache
def meanings() -> Meanings:
    """One for a process. Raises Reject when the encoder is not installed or not allowed."""
    return Meanings()
