"""Which texts a step learns from: in another order every epoch, and beside texts of about their length."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consumers.learning.frame import Frame
from consumers.runtime.verdicts import Reject

CHUNK_ROWS = 256
"""Of one chunk: with MiniLM and docstrings of at most 64 tokens 8 s of one core, measured."""


def texts_of(frame: Frame) -> list[str]:
    """One per row: its texts and categories, a line each. Raises Reject when no column has any."""
    columns = [values for values in frame.columns.values() if values.dtype == object]
    if not columns:
        raise Reject("/params/trainer: it learns from texts, and no input column is one; choose another trainer")
    return ["\n".join(value for value in row if value) for row in zip(*columns, strict=True)]


def chunk_rows(rows: int, chunk: int, seed: int) -> NDArray[np.intp]:
    """The rows of the `chunk`-th chunk, counted over all epochs; each epoch has every row once."""
    epoch, number = divmod(chunk, chunks_per_epoch(rows))
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return order[number * CHUNK_ROWS : (number + 1) * CHUNK_ROWS]


def chunks_per_epoch(rows: int) -> int:
    return -(-rows // CHUNK_ROWS)


def steps_before(rows: int, chunk: int, batch_size: int) -> int:
    """How many batches the chunks before this one had."""
    epochs, number = divmod(chunk, chunks_per_epoch(rows))
    whole, rest = divmod(rows, CHUNK_ROWS)
    per_chunk = -(-CHUNK_ROWS // batch_size)
    return epochs * (whole * per_chunk + -(-rest // batch_size)) + number * per_chunk


def by_length(tokens: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Positions in batches of `size`, so that little is padded: the shortest first."""
    order = sorted(range(len(tokens)), key=lambda position: len(tokens[position]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def shuffled(batches: Iterable[list[int]], seed: int, chunk: int) -> list[list[int]]:
    """So that a chunk does not always end with its longest texts."""
    found = list(batches)
    return [found[number] for number in np.random.default_rng([seed, chunk, 1]).permutation(len(found))]


def padded(tokens: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask`, both `[n, longest]`."""
    ids = np.full((len(tokens), max(map(len, tokens))), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, each in enumerate(tokens):
        ids[row, : len(each)] = each
        mask[row, : len(each)] = 1
    return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}
