"""Forward pass with padding: any encoder, any device."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from consumers.inference.layout import Pooling
from consumers.inference.pooling import pool
from consumers.inference.ports import TokenIds


def forward_padded(
    model: PreTrainedModel, batch: Sequence[TokenIds], how: Pooling, pad_id: int
) -> tuple[Tensor, int]:
    """Vectors `[n, d]`, float32 on the model's device, and the tokens computed."""
    shape = len(batch), max(map(len, batch))
    ids, mask = np.full(shape, pad_id, np.int64), np.zeros(shape, np.bool_)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = True
    on_device = torch.from_numpy(mask).to(model.device)
    states = model(
        input_ids=torch.from_numpy(ids).to(model.device), attention_mask=on_device.long()
    ).last_hidden_state
    return pool(states, on_device, how), ids.size
