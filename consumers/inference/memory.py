"""How much memory something took, as measured from outside."""

import os
from contextlib import suppress
from pathlib import Path

import torch

_STATM, _STATUS, _CLEAR_REFS = (Path("/proc/self") / name for name in ("statm", "status", "clear_refs"))
_FORGET_PEAK = "5"


class MemoryMeter:
    """Counts from its creation on: memory of the device, or resident memory of the process for a CPU.

    For a CPU it is an upper estimate, since what other threads allocate meanwhile counts too, and 0 outside Linux.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif _CLEAR_REFS.exists():
            with suppress(OSError):  # a container may forbid it, and the peak is then that of the process' life
                _CLEAR_REFS.write_text(_FORGET_PEAK)
        self._before = self._now()

    def growth(self) -> int:
        """Bytes; never negative."""
        return max(0, self._now() - self._before)

    def peak(self) -> int:
        """The most that it was in between."""
        return max(0, self._most() - self._before)

    def _now(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        if self._device.type != "cpu" or not _STATM.exists():
            return 0
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _most(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if self._device.type != "cpu" or not _STATUS.exists():
            return 0
        line = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), "VmHWM: 0")
        return int(line.split()[1]) * 1024
