"""A loaded model: tokens to vectors or logits."""

from collections.abc import Sequence

import numpy as np
import structlog
import torch
from torch import Tensor

from consumers.inference.network import Network
from consumers.inference.packed import ATTENTION, can_pack, forward_packed
from consumers.inference.padded import forward_padded
from consumers.inference.ports import Forwarded, Input, ModelIdentity

_log = structlog.get_logger(__name__)
_TOLERANCE = {torch.float32: 1e-4}  # relative to the largest component; rounding of narrower types exceeds it
_NARROW_TOLERANCE = 5e-2


class TransformerEncoder:
    """Implements `ports.Encoder`, for one thread."""

    def __init__(self, identity: ModelIdentity, network: Network) -> None:
        self.identity = identity
        self.padded = True
        self.vocabulary: int = network.model.config.vocab_size
        self.blank = network.halves.blank if network.halves else None
        self._network = network
        self._pad_id = network.model.config.pad_token_id or 0
        self._pack_if_equal()

    def forward(self, batch: Sequence[Input]) -> Forwarded:
        """Raises MemoryError when the device has too little for `batch`."""
        try:
            with torch.inference_mode():
                vectors, computed = self._vectors(batch)
                return Forwarded([each.numpy() for each in vectors], computed)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise MemoryError(str(error)) from None  # the traceback would keep the tensors alive

    def _vectors(self, batch: Sequence[Input]) -> tuple[Sequence[Tensor], int]:
        if self.padded or self._network.halves is None:
            return forward_padded(self._network, batch, self._pad_id)
        return forward_packed(self._network.halves, batch)

    def _pack_if_equal(self) -> None:
        """Switch to packing when it gives what padding gives. Also the first, slow, forward pass."""
        probe = _probe(self._network)
        expected = np.concatenate(self.forward(probe).vectors)
        if not can_pack(self._network):
            return
        model = self._network.model
        before = model.config._attn_implementation
        model.set_attn_implementation(ATTENTION)
        self.padded = False
        found = np.concatenate(self.forward(probe).vectors)
        difference = float(abs(found - expected).max() / abs(expected).max())
        if difference > _TOLERANCE.get(model.dtype, _NARROW_TOLERANCE):
            _log.warning("model.packing_differs", model=self.identity.name, difference=difference)
            model.set_attn_implementation(before)
            self.padded = True


def _probe(network: Network) -> list[Input]:
    """Several lengths, the first as a pair where the model makes a difference, each with a blank for one that fills
    them. What is said of blanks is said of the same tokens: the likeliest may change places by rounding."""
    blank = network.halves.blank if network.halves else None
    first = 2 if blank is None else blank
    pair = [0, 0, 0, 1, 1, 1, 1] if network.reads_segments else None
    others = [[3, 4, 5, 6, 7, 8], [4], [8, 7], [4, 3]]
    return [Input([first, *ids], None if at else pair, choices=range(2, 9)) for at, ids in enumerate(others)]


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
