"""How many threads a forward pass may use."""

import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Physical cores within this process's affinity and its container's quota.

    Two threads on one core share its multipliers and slow matrix products down, and PyTorch's own default knows
    nothing of quotas.
    """
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = {_core(cpu) for cpu in cpus}
    return max(1, min(len(cores), _quota()))


def _core(cpu: int) -> str:
    """The same text for all hardware threads of one core."""
    siblings = _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    try:
        return siblings.read_text()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """Whole CPUs that the container may use."""
    try:
        limit, period = _QUOTA.read_text().split()
        return max(1, round(int(limit) / int(period)))
    except (OSError, ValueError):  # no cgroup v2, or the limit is "max"
        return 1 << 16
