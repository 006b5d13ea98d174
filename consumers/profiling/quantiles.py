"""Quantiles: exact while all values of a column fit into memory, of the sample beyond, with their standard error."""

from collections.abc import Iterator, Sequence

import numpy as np

from consumers.profiling.duck import Duck
from consumers.profiling.sample import Floats, Sample
from consumers.profiling.source import Field
from schemas.profile import Measured

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BYTES_A_VALUE = 16
"""That DuckDB holds for `quantile_cont`: a double, in a vector that doubles its capacity."""


def quantiles(
    duck: Duck, relation: str, fields: Sequence[Field], rows: int, sample: Sample
) -> dict[int, dict[str, Measured]]:
    """By the index of the field; of the finite values, interpolated linearly between the two nearest."""
    if rows > duck.limits.exact_rows:
        return {field.index: _of_sample(sample.numbers(field)) for field in fields}
    found: dict[int, list[float] | None] = {}
    for part in _that_fit(fields, rows, duck.memory_bytes // 4):
        wanted = {field.index: f"quantile_cont({field.finite}, {list(LEVELS)})" for field in part}
        found.update(duck.gather(relation, wanted))
    return {
        index: {str(q): Measured(value=v) for q, v in zip(LEVELS, values or (), strict=False)}
        for index, values in found.items()
    }


def _that_fit(fields: Sequence[Field], rows: int, memory_bytes: int) -> Iterator[Sequence[Field]]:
    size = max(1, memory_bytes // max(1, rows * _BYTES_A_VALUE))
    return (fields[start : start + size] for start in range(0, len(fields), size))


def _of_sample(values: Floats) -> dict[str, Measured]:
    present = values[~np.isnan(values)]
    if not len(present):
        return {}
    return {str(q): _measured(present, q) for q in LEVELS}


def _measured(values: Floats, level: float) -> Measured:
    """The rank of a sample's quantile errs by `sqrt(q (1 - q) / n)`, its value by what the sample spans there
    (Serfling, Approximation Theorems of Mathematical Statistics, 1980, 2.3)."""
    off = np.sqrt(level * (1 - level) / len(values))
    low, value, high = np.quantile(values, [max(0.0, level - off), level, min(1.0, level + off)])
    span = float(high / 2 - low / 2)
    return Measured(value=float(value), error=span / abs(float(value)) if value else None if not span else 1.0)
