"""How much memory a training may take.

RLIMIT_DATA counts what a process has written, or may write, of its own: not code, not files that are mapped. Beyond
it allocation fails, which NumPy, scikit-learn, LightGBM and torch raise as an error of the trial; a library that ends
the process instead is met by the last attempt, which leaves that trial out. Linux only: elsewhere nothing is limited.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumers.runtime.verdicts import Reject

_MIB = 2**20
_LEAST_FREE_MIB = 64
_STATUS = Path("/proc/self/status")


@contextmanager
def bounded(memory_mb: int) -> Iterator[None]:
    """Raises Reject when that is too little, also for what is read within."""
    used = _used_mib()
    if used is None:
        yield
        return
    if memory_mb < used + _LEAST_FREE_MIB:
        raise _too_little(memory_mb, f"the libraries alone take {used} MiB")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * _MIB, before[1]))
    try:
        yield
    except MemoryError:
        raise _too_little(memory_mb, "the table and what is made of it do not fit") from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def is_of_memory(error: Exception) -> bool:
    """torch and LightGBM have no class of their own for it."""
    return isinstance(error, MemoryError) or any(told in str(error) for told in ("allocate memory", "bad_alloc"))


def _used_mib() -> int | None:
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) // 1024


def _too_little(memory_mb: int, why: str) -> Reject:
    return Reject(f"/params/memory_mb: {memory_mb} MiB are too little: {why}; allow more, or train on fewer rows")
