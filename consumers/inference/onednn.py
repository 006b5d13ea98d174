"""Linear layers on oneDNN, on a CPU.

PyTorch multiplies float32 matrices with MKL, which is half as fast on AMD: on two Zen 5 cores, 1024 x 384 by
384 x 1536 took 7.9 ms with MKL and 3.8 ms with oneDNN in the same run, at equal precision. In bfloat16 both take
oneDNN, and with the weights in its layout from the beginning a forward pass takes 8 to 11 % less.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

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


def bfloat16_supported() -> bool:
    """Whether this CPU has instructions for it."""
    return _available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def use_onednn(model: PreTrainedModel) -> None:
    """Replace every linear layer of `model` in place, where this build of PyTorch and this CPU have what it takes."""
    usable = {torch.float32: _available, torch.bfloat16: bfloat16_supported}.get(model.dtype)
    if usable is None or not usable():
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, OneDnnLinear(child))


def _available() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def held_bytes(model: nn.Module) -> int:
    """What the parameters and buffers of `model` take, those in oneDNN's layout included."""
    plain = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return plain + sum(module.nbytes for module in model.modules() if isinstance(module, OneDnnLinear))
