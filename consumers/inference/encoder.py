"""A loaded model: texts to tokens, tokens to vectors or logits."""

from collections.abc import Sequence

import numpy as np
import structlog
import torch
from tokenizers import Tokenizer
from torch import Tensor

from consumers.encoders.entities import pieces
from consumers.inference.network import Network
from consumers.inference.packed import ATTENTION, can_pack, forward_packed
from consumers.inference.padded import forward_padded
from consumers.inference.ports import Forwarded, ModelIdentity, TokenIds, Tokens

_log = structlog.get_logger(__name__)
_PROBE: list[TokenIds] = [[2, 3, 4, 5, 6, 7, 8], [3, 4], [9, 8, 7], [5, 4, 3]]
_TOLERANCE = {torch.float32: 1e-4}  # relative to the largest component; rounding of narrower types exceeds it
_NARROW_TOLERANCE = 5e-2


class TransformerEncoder:
    """Implements `ports.Encoder`. `forward` is for one thread; `tokenize` for any number."""

    def __init__(self, identity: ModelIdentity, network: Network, tokenizer: Tokenizer) -> None:
        self.identity = identity
        self.padded = True
        self._network, self._tokenizer = network, tokenizer
        self._pad_id = network.model.config.pad_token_id or 0
        self._pack_if_equal()

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """One per text, cut to what the model reads."""
        if not self._network.of_tokens:
            encoded = self._tokenizer.encode_batch_fast(list(texts))  # without offsets
            return [Tokens(one.ids, truncated=bool(one.overflowing)) for one in encoded]
        return [
            Tokens(one.ids, truncated=bool(one.overflowing), pieces=pieces(self._tokenizer, text, one))
            for text, one in zip(texts, self._tokenizer.encode_batch(list(texts)), strict=True)
        ]

    def forward(self, batch: Sequence[TokenIds]) -> Forwarded:
        """Raises MemoryError when the device has too little for `batch`."""
        try:
            with torch.inference_mode():
                vectors, computed = self._vectors(batch)
                return Forwarded([each.numpy() for each in vectors], computed)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise MemoryError(str(error)) from None  # the traceback would keep the tensors alive

    def _vectors(self, batch: Sequence[TokenIds]) -> tuple[Sequence[Tensor], int]:
        if self.padded or self._network.halves is None:
            return forward_padded(self._network, batch, self._pad_id)
        return forward_packed(self._network.halves, batch)

    def _pack_if_equal(self) -> None:
        """Switch to packing when it gives what padding gives. Also the first, slow, forward pass."""
        expected = np.concatenate(self.forward(_PROBE).vectors)
        if not can_pack(self._network):
            return
        model = self._network.model
        before = model.config._attn_implementation
        model.set_attn_implementation(ATTENTION)
        self.padded = False
        found = np.concatenate(self.forward(_PROBE).vectors)
        difference = float(abs(found - expected).max() / abs(expected).max())
        if difference > _TOLERANCE.get(model.dtype, _NARROW_TOLERANCE):
            _log.warning("model.packing_differs", model=self.identity.name, difference=difference)
            model.set_attn_implementation(before)
            self.padded = True


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
