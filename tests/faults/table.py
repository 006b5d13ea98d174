"""What every fault did, added up over all seeds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

RECOVERY_S = 60.0
"""How long a round waits for a recovery before it goes on."""


@dataclass
class Line:
    injections: int = 0
    jobs: int = 0
    lost: int = 0
    duplicated: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    """Of injections that struck alone: of two together nobody knows who was slow."""

    def cells(self) -> tuple[str, ...]:
        recovery = ""
        if self.recoveries_s:
            recovery = f"{_seconds(median(self.recoveries_s))} ({_seconds(max(self.recoveries_s))})"
        return (f"{self.injections}", f"{self.jobs:,}", f"{self.lost}", f"{self.duplicated}", recovery)


_HEAD = ("fault", "injections", "jobs", "lost", "duplicated", "recovery, median (most)")


@dataclass
class Table:
    lines: dict[str, Line] = field(default_factory=dict)
    total: Line = field(default_factory=Line)
    """Each job once, however many faults it met."""

    def line(self, fault: str) -> Line:
        return self.lines.setdefault(fault, Line())

    def rows(self) -> Iterable[tuple[str, ...]]:
        for name, line in sorted(self.lines.items()):
            yield (name, *line.cells())
        yield ("all", *self.total.cells())

    def markdown(self) -> str:
        rule = ("---", *("---:" for _ in _HEAD[1:]))
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (_HEAD, rule, *self.rows()))

    def text(self) -> list[str]:
        rows = [_HEAD, *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        return ["  ".join(_aligned(row, widths)) for row in rows]


def _seconds(taken_s: float) -> str:
    return f"{taken_s:.1f} s" if taken_s < RECOVERY_S else f"over {RECOVERY_S:g} s"


def _aligned(row: tuple[str, ...], widths: list[int]) -> Iterable[str]:
    yield row[0].ljust(widths[0])
    for cell, width in zip(row[1:], widths[1:], strict=True):
        yield cell.rjust(width)
