"""What a job asks for, within what the installation gives."""

from typing import Protocol

from consumers.execution.sandbox.ports import Limits
from consumers.execution.settings import ExecutionSettings
from consumers.runtime.verdicts import Reject

_MIB = 1024 * 1024


class Asked(Protocol):
    @property
    def timeout_s(self) -> float: ...
    @property
    def memory_mb(self) -> int: ...
    @property
    def processes(self) -> int: ...
    @property
    def output_bytes(self) -> int: ...
    @property
    def disk_mb(self) -> int: ...


def limits_of(asked: Asked, quota: ExecutionSettings) -> Limits:
    """Raises Reject naming everything that is too much."""
    names = ("timeout_s", "memory_mb", "processes", "output_bytes", "disk_mb")
    most = {name: getattr(quota, f"most_{name}") for name in names}
    over = [f"/params/{name}: at most {most[name]:g} here" for name in names if getattr(asked, name) > most[name]]
    if over:
        raise Reject("; ".join(over), type="over-quota", title="More than the quota")
    return Limits(
        wall_s=asked.timeout_s,
        memory_bytes=asked.memory_mb * _MIB,
        processes=asked.processes,
        output_bytes=asked.output_bytes,
        disk_bytes=asked.disk_mb * _MIB,
        files=quota.files,
    )
