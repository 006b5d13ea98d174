"""From token states to one vector per input, or to one per token."""

import torch
from torch import Tensor

from consumers.encoders.layout import Pooling


def pool(states: Tensor, mask: Tensor, how: Pooling | None) -> Tensor:
    """`states [n, length, d]` and `mask [n, length]`, true for real tokens, to float32 `[n, d]`; for None the states
    themselves, in float32.

    Every input has a real token, and the padding is at the end.
    """
    states = states.float()
    if how is None:
        return states
    if how == "cls":
        return states[:, 0]
    if how == "max":
        return states.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)
    weights = mask.unsqueeze(-1).float()
    return (states * weights).sum(dim=1) / weights.sum(dim=1)
