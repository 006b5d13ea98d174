"""Linear layers on oneDNN, for float32 on a CPU.

PyTorch multiplies float32 matrices with MKL, which is half as fast on AMD: on two Zen 5 cores, 1024 x 384 by
384 x 1536 took 7.9 ms with MKL and 3.8 ms with oneDNN in the same run, at equal precision.
"""

import torch
from torch import Tensor, nn

_TYPICAL_ROWS = 1024  # the layout of the weights is chosen for batches of this many tokens


class OneDnnLinear(nn.Module):
    """`x @ weight.T + bias` with the weights in oneDNN's own layout, which cannot be trained or saved."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self.nbytes = linear.weight.nbytes
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _TYPICAL_ROWS)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self.bias, "none", [], "")
        return y


def use_onednn(model: nn.Module) -> None:
    """Replace every linear layer of `model` in place, where this build of PyTorch has what it takes."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, OneDnnLinear(child))


def held_bytes(model: nn.Module) -> int:
    """What the parameters and buffers of `model` take, those in oneDNN's layout included."""
    plain = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return plain + sum(module.nbytes for module in model.modules() if isinstance(module, OneDnnLinear))
