"""Mean, deviation, skewness and kurtosis from power sums that neither overflow nor cancel.

Fourth powers of 64-bit integers are beyond the digits of a double, and those of values far from zero cancel. So the
sums are of `(value - pivot) / scale`, with a pivot near the mean and a scale that brings everything into -1 to 1;
moments about the mean follow from those about the pivot.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

_EXACT = 2**53
"""Whole numbers up to it are exact as doubles."""
_HUGE = 1e150
"""The difference of doubles beyond it may overflow."""


@dataclass(frozen=True)
class Frame:
    """Where values are looked at from."""

    pivot: float
    """A whole number for whole numbers."""
    scale: float
    whole: bool
    largest: float

    def deviation(self, value: str) -> str:
        """The expression that is summed."""
        if self.whole and self.largest > _EXACT:
            return f"(({value})::HUGEINT - {self.pivot}::HUGEINT)::DOUBLE / {self.scale!r}::DOUBLE"
        pivot, scale = (f"{float(number)!r}::DOUBLE" for number in (self.pivot, self.scale))
        if self.largest > _HUGE:
            return f"(({value}) / {scale} - {pivot} / {scale})"
        return f"((({value})::DOUBLE - {pivot}) / {scale})"


def frame(low: float, high: float, near_mean: float, whole: bool) -> Frame:
    pivot = min(max(round(near_mean) if whole else near_mean, low), high)
    scale = min(float(max(high - pivot, pivot - low)), sys.float_info.max)
    return Frame(pivot, scale or 1.0, whole, max(abs(low), abs(high)))


def sums(value: str, at: Frame) -> dict[str, str]:
    d = at.deviation(value)
    return {
        "d1": f"fsum({d})",
        "d2": f"sum({d} * {d})",
        "d3": f"sum({d} * {d} * {d})",
        "d4": f"sum(({d} * {d}) * ({d} * {d}))",
    }


@dataclass(frozen=True)
class Moments:
    mean: float
    std: float | None
    """With n - 1, as a sample has it; null for one value."""
    skewness: float | None
    """G1 and G2 of Joanes and Gill, Comparing measures of sample skewness and kurtosis, 1998; pandas has the same."""
    kurtosis: float | None


def moments(count: int, at: Frame, found: Mapping[str, float]) -> Moments:
    m1, r2, r3, r4 = (found[name] / count for name in ("d1", "d2", "d3", "d4"))
    m2 = max(0.0, r2 - m1**2)
    m3 = r3 - 3 * m1 * r2 + 2 * m1**3
    m4 = r4 - 4 * m1 * r3 + 6 * m1**2 * r2 - 3 * m1**4
    std = at.scale * math.sqrt(m2 * count / (count - 1)) if count > 1 else None
    return Moments(at.pivot + at.scale * m1, std, _skewness(count, m2, m3), _kurtosis(count, m2, m4))


def _skewness(n: int, m2: float, m3: float) -> float | None:
    cubed = m2 * math.sqrt(m2)
    return math.sqrt(n * (n - 1)) / (n - 2) * m3 / cubed if n > 2 and cubed > 0 else None


def _kurtosis(n: int, m2: float, m4: float) -> float | None:
    if n < 4 or m2**2 == 0:
        return None
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (m4 / m2**2 - 3) + 6)
