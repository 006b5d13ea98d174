"""Forward pass without padding: the inputs of a batch as one row of tokens, attention within each input.

On a CPU the linear layers are most of the time, and padding is what they would waste it on. Inputs of equal length
stand together, so that attention is one call per length and not one per input.

In bfloat16 each input has a slot of a round number of tokens: attention over 56 tokens takes 1.6 times as long there
as over 64, since the CPU's tiles are 16 wide. With it a pass takes 5 to 6 % less, although one token in eight is then
padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

_SLOT = {torch.bfloat16: 16}


@dataclass(frozen=True)
class Group:
    """Where inputs with slots of one length stand."""

    start: int
    count: int
    length: int
    real: Tensor
    """`[count, length]`, false for what fills up a slot."""
    full: bool

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + self.count * self.length)


def can_pack(network: Network) -> bool:
    """Whether the model takes positions and passes unknown arguments on to its attention."""
    known = network.halves is not None and _first_position(network.halves.body) is not None
    return known and network.model.device.type == "cpu"


def forward_packed(halves: Halves, batch: Sequence[Input]) -> tuple[Sequence[Tensor], int]:
    """For each input what the head says, float32 on the CPU, and the tokens computed. The body's attention must be
    ours."""
    order = sorted(range(len(batch)), key=lambda index: len(batch[index]))
    ordered = [batch[index] for index in order]
    slot = _SLOT.get(halves.body.dtype, 1)
    slots = [_rounded(len(one), slot) for one in ordered]
    row = _row(ordered, slots, _first_position(halves.body) or 0)
    groups = _groups([len(one) for one in ordered], slots)
    states = halves.body(**row, packed_groups=groups).last_hidden_state[0]
    said = halves.answers(_selected(states, row["input_ids"][0], groups, halves), ordered)
    by_index = dict(zip(order, said, strict=True))
    return [by_index[index] for index in range(len(batch))], len(states)


def _rounded(number: int, to: int) -> int:
    return -(-number // to) * to


def _first_position(model: PreTrainedModel) -> int | None:
    config = model.config
    after_pad = (config.pad_token_id or 0) + 1
    return {"bert": 0, "roberta": after_pad, "xlm-roberta": after_pad}.get(config.model_type)


def _groups(lengths: Sequence[int], slots: Sequence[int]) -> list[Group]:
    """Of inputs in the order of their lengths."""
    groups, start, first = [], 0, 0
    for slot, same in groupby(slots):
        count = len(list(same))
        real = torch.arange(slot) < torch.tensor(lengths[first : first + count])[:, None]
        groups.append(Group(start, count, slot, real, full=lengths[first] == slot))
        start, first = start + count * slot, first + count
    return groups


def _row(batch: Sequence[Input], slots: Sequence[int], first_position: int) -> dict[str, Tensor]:
    """Ids, positions and segments if there are any, each `[1, tokens]`, filled up to a round number of tokens. Nobody
    attends to what fills up."""
    ids, positions, segments = np.zeros((3, _rounded(sum(slots), _ROUND)), np.int64)
    start = 0
    for one, slot in zip(batch, slots, strict=True):
        own = slice(start, start + len(one))
        ids[own], positions[own] = one.ids, np.arange(len(one))
        if one.segments:
            segments[own] = one.segments
        start += slot
    row = {"input_ids": ids, "position_ids": positions + first_position}
    if segments.any():
        row["token_type_ids"] = segments
    return {name: torch.from_numpy(array)[None] for name, array in row.items()}


def _selected(states: Tensor, ids: Tensor, groups: Sequence[Group], halves: Halves) -> Tensor:
    """Of `[tokens, d]` what the head answers for."""
    if halves.pooling:
        return torch.cat([_pooled(states, group, halves.pooling) for group in groups])
    wanted = torch.zeros(len(states), dtype=torch.bool)
    for group in groups:
        wanted[group.rows] = group.real.flatten()
    return states[wanted if halves.blank is None else wanted & (ids == halves.blank)].float()


def _pooled(states: Tensor, group: Group, how: Pooling) -> Tensor:
    """`[count, d]`."""
    return pool(states[group.rows].view(group.count, group.length, -1), group.real, how)


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
    for group in packed_groups:
        shape = (heads, group.count, group.length, width)
        q, k, v = (part[0, :, group.rows].view(shape) for part in (query, key, value))  # no copies
        mask = None if group.full else group.real[None, :, None]
        attended = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling)
        out[0, group.rows] = attended.permute(1, 2, 0, 3).flatten(0, 1)
    return out, None


AttentionInterface.register(ATTENTION, _attention)
