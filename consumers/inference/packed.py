"""Forward pass without padding: the inputs of a batch as one row of tokens, attention within each input.

On a CPU the linear layers are most of the time, and padding is what they would waste it on. Inputs of equal length
stand together, so that attention is one call per length and not one per input.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from consumers.encoders.layout import Pooling
from consumers.encoders.pooling import pool
from consumers.inference.network import Halves, Network
from consumers.inference.ports import Input

ATTENTION = "millrace_packed"
_ROUND = 16  # oneDNN prepares each new number of rows anew (0.3 ms a layer, measured), so there should be few

Group = tuple[int, int, int]
"""Where inputs of one length stand: first token, number of inputs, length."""


def can_pack(network: Network) -> bool:
    """Whether the model takes positions and passes unknown arguments on to its attention."""
    known = network.halves is not None and _first_position(network.halves.body) is not None
    return known and network.model.device.type == "cpu"


def forward_packed(halves: Halves, batch: Sequence[Input]) -> tuple[Sequence[Tensor], int]:
    """For each input what the head says, float32 on the CPU, and the tokens computed. The body's attention must be
    ours."""
    order = sorted(range(len(batch)), key=lambda index: len(batch[index]))
    groups = _groups([len(batch[index]) for index in order])
    row = _row([batch[index] for index in order], _first_position(halves.body) or 0)
    states = halves.body(**row, packed_groups=groups).last_hidden_state[0]
    pooled = torch.cat([_pool_group(states, group, halves.pooling) for group in groups])
    lengths = [1 if halves.pooling else len(batch[index]) for index in order]
    said = dict(zip(order, torch.split(halves.head(pooled), lengths), strict=True))
    return [said[index].squeeze(0) if halves.pooling else said[index] for index in range(len(batch))], len(states)


def _first_position(model: PreTrainedModel) -> int | None:
    config = model.config
    after_pad = (config.pad_token_id or 0) + 1
    return {"bert": 0, "roberta": after_pad, "xlm-roberta": after_pad}.get(config.model_type)


def _groups(lengths: Sequence[int]) -> list[Group]:
    groups, start = [], 0
    for length, same in groupby(lengths):
        count = len(list(same))
        groups.append((start, count, length))
        start += count * length
    return groups


def _row(batch: Sequence[Input], first_position: int) -> dict[str, Tensor]:
    """Ids, positions and segments if there are any, each `[1, tokens]`, filled up to a round number of tokens that
    nobody attends to."""
    total = sum(map(len, batch))
    ids, positions, segments = np.zeros((3, -(-total // _ROUND) * _ROUND), np.int64)
    ids[:total] = np.concatenate([one.ids for one in batch])
    positions[:total] = np.concatenate([np.arange(len(one)) for one in batch])
    segments[:total] = np.concatenate([one.segments or np.zeros(len(one), np.int64) for one in batch])
    row = {"input_ids": ids, "position_ids": positions + first_position}
    if segments.any():
        row["token_type_ids"] = segments
    return {name: torch.from_numpy(array)[None] for name, array in row.items()}


def _pool_group(states: Tensor, group: Group, how: Pooling | None) -> Tensor:
    """`[count, d]`, or without pooling `[count * length, d]`."""
    start, count, length = group
    if how is None:
        return states[start : start + count * length].float()
    own = states[start : start + count * length].view(count, length, -1)
    return pool(own, torch.ones(count, length, dtype=torch.bool), how)


def _attention(
    _module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    packed_groups: Sequence[Group],
    scaling: float | None = None,
    **_kwargs: Any,
) -> tuple[Tensor, None]:
    """Query, key and value `[1, heads, tokens, d]` to `[1, tokens, heads, d]`."""
    _, heads, tokens, width = query.shape
    out = query.new_zeros(1, tokens, heads, width)
    for start, count, length in packed_groups:
        rows = slice(start, start + count * length)
        q, k, v = (part[0, :, rows].view(heads, count, length, width) for part in (query, key, value))
        attended = scaled_dot_product_attention(q, k, v, scale=scaling)  # [heads, count, length, d], no copies
        out[0, rows] = attended.permute(1, 2, 0, 3).flatten(0, 1)
    return out, None


AttentionInterface.register(ATTENTION, _attention)
