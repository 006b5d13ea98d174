"""CPU-seconds and peak memory of groups of processes, and how noisy the machine was meanwhile."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.contenders import Processes

NOISY_CORES = 0.2
"""A turn with more than this many cores busy elsewhere is taken again."""


@dataclass(frozen=True)
class Usage:
    wall_s: float
    cpu_s: dict[str, float]
    """By role. The kernel counts in ticks of 10 ms, so a short round says little about a light process."""
    peak_mib: dict[str, float]
    """By role: the sum of its processes' high-water marks, each since its start; shared pages count in each."""
    noise_cores: float
    """Cores that were busy with processes that are no part of the benchmark."""


class Meter:
    """Counts from its creation to `stop`. Bystanders are the contenders whose turn it is not."""

    def __init__(self, processes: Processes, bystanders: Iterable[psutil.Process] = ()) -> None:
        self._processes = {**processes, "others": list(bystanders)}
        self._start = time.perf_counter()
        self._before = self._cpu()
        self._busy = _machine_busy_s()

    def stop(self) -> Usage:
        wall_s = time.perf_counter() - self._start
        busy = _machine_busy_s() - self._busy
        after = self._cpu()
        cpu_s = {role: after[role] - self._before[role] for role in after}
        peak = {role: sum(map(_peak_mib, group)) for role, group in self._processes.items() if role != "others"}
        return Usage(wall_s, cpu_s, peak, max(0.0, busy - sum(cpu_s.values())) / wall_s)

    def _cpu(self) -> dict[str, float]:
        return {role: sum(map(_cpu_s, group)) for role, group in self._processes.items()}


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # a process of a pool may have ended; what it used before is lost to the account
        return 0.0
    return float(times.user + times.system)


def _machine_busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def _peak_mib(process: psutil.Process) -> float:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


async def quiet(patience_s: float) -> None:
    """Wait until little else runs on the machine, but not for ever."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        busy = _machine_busy_s()
        await asyncio.sleep(0.5)
        if (_machine_busy_s() - busy) / 0.5 <= NOISY_CORES:
            return
