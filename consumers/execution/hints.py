"""What may have ended a program, said to who wrote it."""

from signal import Signals

from consumers.execution.sandbox.ports import Ended, Limits
from schemas.code import Diagnostic, Severity
from schemas.execution import Ending


def hints(ended: Ended, limits: Limits) -> list[Diagnostic]:
    said = {
        Ending.TIMEOUT: f"it ran for {limits.wall_s:g} s, all that it was given: ask for more `timeout_s`",
        Ending.MEMORY: f"it needed more than {limits.memory_bytes >> 20} MiB: ask for more `memory_mb`",
        Ending.OUTPUT_LIMIT: f"it wrote more than {limits.output_bytes:,} bytes to a stream: write to a file instead",
        Ending.KILLED: "it did what no program may do here, such as a forbidden system call",
    }
    found = [said[ended.ending]] if ended.ending in said else []
    if ended.ending is Ending.ERROR and ended.signal is not None:
        found.append(f"it died of {_name(ended.signal)}, which is no exception of Python")
    return [Diagnostic(severity=Severity.WARNING, message=message) for message in found]


def _name(number: int) -> str:
    return Signals(number).name if number in set(Signals) else f"signal {number}"
