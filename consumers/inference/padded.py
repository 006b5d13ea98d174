"""Forward pass with padding: any encoder, any device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consumers.inference.network import Network
from consumers.inference.ports import Input


def forward_padded(network: Network, batch: Sequence[Input], pad_id: int) -> tuple[Sequence[Tensor], int]:
    """For each input what the network says, float32 on the CPU, and the tokens computed."""
    arrays = _arrays(batch, pad_id)
    on_device = {name: torch.from_numpy(array).to(network.model.device) for name, array in arrays.items()}
    return network.whole(batch, **on_device), arrays["ids"].size


def _arrays(batch: Sequence[Input], pad_id: int) -> dict[str, NDArray[Any]]:
    """The arguments of a network."""
    shape = len(batch), max(map(len, batch))
    ids, mask, segments = np.full(shape, pad_id, np.int64), np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
    for row, one in enumerate(batch):
        ids[row, : len(one)] = one.ids
        mask[row, : len(one)] = True
        segments[row, : len(one)] = one.segments or 0
    return {"ids": ids, "mask": mask, **({"token_type_ids": segments} if segments.any() else {})}
