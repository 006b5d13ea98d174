"""Attention of many requests in one forward pass, over what each has read before.

The tokens of a pass stand in one row, so that the linear layers see no padding: first one token of each request that
is writing, then stretches of prompts. Every model that passes unknown arguments on to transformers' attention
interface can be run so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from consumers.generation.slots import Slots

ATTENTION = "millrace_slots"


@dataclass(frozen=True)
class Stretch:
    """A part of a prompt: `tokens` of the pass, from `first` on, are those of `row` behind `read` others."""

    row: int
    read: int
    first: int
    tokens: int


@dataclass(frozen=True)
class Pass:
    """Which tokens one forward pass reads."""

    slots: Slots
    rows: Tensor
    """Of each token, and its place in that row. `[tokens]`."""
    places: Tensor
    writing: Tensor
    """Rows whose next token stands at the beginning of the pass, in its order. `[writing]`."""
    behind: int
    """The last of these rows, plus one; 0 for none."""
    longest: int
    """Tokens of the longest of these rows, the new one included."""
    unread: Tensor | None
    """Added to the scores of these rows: minus infinity behind their ends. `[behind, 1, 1, longest]`."""
    stretches: Sequence[tuple[Stretch, Tensor]]
    """Each with what is added to its scores, `[tokens, read + tokens]`."""


def plan(slots: Slots, writing: Sequence[tuple[int, int]], stretches: Sequence[Stretch], dtype: torch.dtype) -> Pass:
    """`writing` are rows with the place of their next token. Their tokens come first in the pass."""
    device = slots.keys[0].device
    rows = [row for row, _ in writing] + [part.row for part in stretches for _ in range(part.tokens)]
    places = [place for _, place in writing] + [part.read + at for part in stretches for at in range(part.tokens)]
    behind = 1 + max((row for row, _ in writing), default=-1)
    longest = 1 + max((place for _, place in writing), default=-1)
    unread = None
    if writing:
        ends = torch.ones(behind, dtype=torch.long)  # a row that only reads has one key, and its answer is not taken
        ends[[row for row, _ in writing]] = torch.tensor([place + 1 for _, place in writing])
        unread = _closed(torch.arange(longest) >= ends[:, None], dtype)[:, None, None].to(device)
    return Pass(
        slots=slots,
        rows=torch.tensor(rows, device=device),
        places=torch.tensor(places, device=device),
        writing=torch.tensor([row for row, _ in writing], dtype=torch.long, device=device),
        behind=behind,
        longest=longest,
        unread=unread,
        stretches=[(part, _causal(part, dtype).to(device)) for part in stretches],
    )


def _causal(part: Stretch, dtype: torch.dtype) -> Tensor:
    keys = torch.arange(part.read + part.tokens)
    return _closed(keys > (part.read + torch.arange(part.tokens))[:, None], dtype)


def _closed(where: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(where.shape, dtype=dtype).masked_fill_(where, -torch.inf)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    tokens_read: Pass,
    scaling: float | None = None,
    **_kwargs: Any,
) -> tuple[Tensor, None]:
    """Query `[1, heads, tokens, width]`, key and value of as many heads or fewer, to `[1, tokens, heads, width]`."""
    keys, values = tokens_read.slots.keys[module.layer_idx], tokens_read.slots.values[module.layer_idx]
    keys[tokens_read.rows, :, tokens_read.places] = key[0].transpose(0, 1)
    values[tokens_read.rows, :, tokens_read.places] = value[0].transpose(0, 1)
    _, heads, tokens, width = query.shape
    shared = heads // keys.shape[1]  # query heads that look at the same keys: for them these are more queries
    asked = query[0].view(keys.shape[1], shared, tokens, width)
    out = query.new_empty(tokens, keys.shape[1], shared, width)
    if tokens_read.behind:
        out[: len(tokens_read.writing)] = _of_writing(tokens_read, asked, keys, values, scaling)
    for part, closed in tokens_read.stretches:
        last = part.first + part.tokens
        q = asked[:, :, part.first : last].flatten(1, 2)
        k, v = (block[part.row, :, : part.read + part.tokens] for block in (keys, values))
        found = scaled_dot_product_attention(
            q[None], k[None], v[None], attn_mask=closed.repeat(shared, 1)[None, None], scale=scaling
        )[0]
        out[part.first : last] = found.view(keys.shape[1], shared, part.tokens, width).permute(2, 0, 1, 3)
    return out.view(1, tokens, heads, width), None


def _of_writing(read: Pass, asked: Tensor, keys: Tensor, values: Tensor, scaling: float | None) -> Tensor:
    """`[writing, key heads, shared, width]`."""
    own = asked[:, :, : len(read.writing)].permute(2, 0, 1, 3)
    q = own.new_zeros(read.behind, *own.shape[1:])
    q[read.writing] = own
    k, v = keys[: read.behind, :, : read.longest], values[: read.behind, :, : read.longest]
    found: Tensor = scaled_dot_product_attention(q, k, v, attn_mask=read.unread, scale=scaling)
    return found[read.writing]


AttentionInterface.register(ATTENTION, _attention)
