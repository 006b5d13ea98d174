"""What running requests have read: the keys and values of their tokens, a row for each.

Rows lie side by side in one block per layer, as long as the longest needs, so that the next tokens of all requests
are one call of attention. What a row is shorter than the block is masked. The block grows as its rows do and is given
back when nothing runs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_FIRST_ROWS, _FIRST_LENGTH = 4, 128


@dataclass(frozen=True)
class Shape:
    """Of what one token leaves in a layer."""

    layers: int
    heads: int
    width: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.heads * self.width * self.dtype.itemsize


class Slots:
    """`keys` and `values` have one tensor `[rows, heads, length, width]` per layer."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.release()

    def release(self) -> None:
        self.rows, self.length = 0, 0
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def require(self, rows: int, length: int, most_length: int) -> None:
        """Room for `rows` of `length` tokens; `most_length` is what the block need never exceed. Raises
        torch.OutOfMemoryError, and what was there stays."""
        if rows <= self.rows and length <= self.length:
            return
        rows = _grown(self.rows or _FIRST_ROWS, rows)
        length = max(min(_grown(self.length or _FIRST_LENGTH, length), most_length), length, self.length)
        keys, values = [], []
        for layer in range(self._shape.layers):
            keys.append(self._larger(self.keys[layer] if self.keys else None, rows, length))
            values.append(self._larger(self.values[layer] if self.values else None, rows, length))
        self.keys, self.values, self.rows, self.length = keys, values, rows, length

    def move(self, source: int, target: int, tokens: int) -> None:
        """The row `target` becomes what `source` is."""
        for block in (*self.keys, *self.values):
            block[target, :, :tokens] = block[source, :, :tokens]

    def _larger(self, block: Tensor | None, rows: int, length: int) -> Tensor:
        # Zeros, since what is masked is multiplied by zero, and zero times what memory happened to hold may be NaN.
        shape = self._shape
        larger = torch.zeros(rows, shape.heads, length, shape.width, dtype=shape.dtype, device=shape.device)
        if block is not None:
            larger[: block.shape[0], :, : block.shape[2]] = block
        return larger


def _grown(now: int, needed: int) -> int:
    while now < needed:
        now *= 2
    return now
