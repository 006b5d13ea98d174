"""Forward pass with padding: any encoder, any device."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from consumers.inference.network import Network
from consumers.inference.ports import TokenIds


def forward_padded(network: Network, batch: Sequence[TokenIds], pad_id: int) -> tuple[Sequence[Tensor], int]:
    """For each input what the network says, float32 on the CPU, and the tokens computed."""
    shape = len(batch), max(map(len, batch))
    ids, mask = np.full(shape, pad_id, np.int64), np.zeros(shape, np.bool_)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = True
    device = network.model.device
    said = network.whole(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)).cpu()
    if network.of_tokens:
        return [each[: len(tokens)] for each, tokens in zip(said, batch, strict=True)], ids.size
    return list(said), ids.size
