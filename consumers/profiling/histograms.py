"""Edges for histograms that people read, and how DuckDB counts between them."""

import math
import sys
from collections.abc import Sequence
from itertools import pairwise

from schemas.profile import Bin

_BINS = 30
"""About so many; round steps make it 20 to 40."""
_FINEST = 40
"""Whole numbers that span no more get a bin for each value."""
_MOST = sys.float_info.max
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_FAR = 5.0
"""A range so many times as wide as the middle 98 % would squeeze them into a few bins."""


def edges(low: float, high: float, middle: tuple[float, float], whole: bool = False) -> list[float]:
    """Bounds of the bins of values from `low` to `high`, of which `middle` has the 1st and the 99th percentile.

    Outliers far away are gathered in the first and the last bin, which are then wider than the others.
    """
    if whole and high - low < _FINEST:  # beyond 2 ** 53 neighbours coincide, also all of them
        each = sorted({float(low + number) for number in range(int(high - low) + 2)})
        return each if len(each) > 1 else each * 2
    if low == high:
        return [low, high]
    first, last = middle
    if not first < last or high / 2 - low / 2 <= _FAR * (last / 2 - first / 2):
        first, last = low, high
    inner = _round_edges(first, last, whole)
    if first == low and last == high:
        return inner
    return [low, *(edge for edge in inner if low < edge < high), high]


def _round_edges(low: float, high: float, whole: bool) -> list[float]:
    step = _step(high / _BINS - low / _BINS, whole)
    start, end = math.floor(low / step), math.ceil(high / step)
    digits = max(0, 2 - math.floor(math.log10(step)))
    rounded = [round(max(min(number * step, _MOST), -_MOST), digits) for number in range(start, end + 1)]
    # Where doubles are too coarse for round ones (1e16 to 1e16 + 4) the neighbours coincide.
    return sorted({min(low, rounded[0]), *rounded[1:-1], max(high, rounded[-1])})


def _step(width: float, whole: bool) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10, times a power of ten, that is at least `width` wide."""
    if width < 1e-300:  # below it, powers of ten lose digits
        return max(width, 5e-324)
    power = 10.0 ** math.floor(math.log10(width))
    step = next(step * power for step in _STEPS if step * power >= width * 0.999)
    return max(1.0, math.ceil(step)) if whole else step


def counting(value: str, bounds: Sequence[float]) -> str:
    """SQL that counts a numeric expression by bin.

    DuckDB's bins exclude their lower bound and include the upper one; ours are the other way round, so it is given
    both with their signs changed.
    """
    uppers = ", ".join(f"{-edge!r}::DOUBLE" for edge in reversed(bounds[:-1]))
    return f"histogram(-({value}::DOUBLE), [{uppers}])"


def bins(bounds: Sequence[float], counts: dict[float, int] | None) -> list[Bin]:
    """From what `counting` found, which is null where there were no values."""
    counts = counts or {}
    return [Bin(low=low, high=high, count=counts.get(-low, 0)) for low, high in pairwise(bounds)]
