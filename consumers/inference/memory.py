"""How much memory a model took, as measured from outside."""

import os
from pathlib import Path

import torch

_STATM = Path("/proc/self/statm")


class MemoryMeter:
    """Counts from its creation on: memory of the device, or resident memory of the process for a CPU.

    For a CPU it is an upper estimate, since what other threads allocate meanwhile counts too, and 0 outside Linux.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = self._now()

    def growth(self) -> int:
        """Bytes; never negative."""
        return max(0, self._now() - self._before)

    def _now(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        if self._device.type != "cpu" or not _STATM.exists():
            return 0
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
