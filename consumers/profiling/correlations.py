"""How columns go together, computed from the sample. Every pair uses the rows in which both have a value."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from consumers.profiling.sample import Codes, Floats, Sample
from consumers.profiling.source import Field
from schemas.datasets import ColumnType
from schemas.profile import ColumnProfile, CorrelationMethod, Correlations, SemanticType

PAIR_ROWS = 20_000
"""A coefficient of so many rows has a standard error of 0.007 at most."""
_COLUMNS = 40
_CATEGORIES = 50
"""Columns with more are too finely divided for a contingency table to say much."""

Pair = tuple[Field, ColumnProfile]
Matrix = npt.NDArray[np.float64]


def correlations(pairs: Sequence[Pair], sample: Sample, target: str | None) -> list[Correlations]:
    numbers = _informative([pair for pair in pairs if _is_measure(pair[1])], target)
    categories = _informative([pair for pair in pairs if _is_grouping(pair[1])], target)
    take = min(sample.rows, PAIR_ROWS)
    sampled = None if sample.whole and take == sample.rows else take
    rows = spread(sample.rows, take)
    values = [sample.numbers(field)[rows] for field, _ in numbers]
    codes = [sample.codes(field)[rows] for field, _ in categories]
    number_names, category_names = ([field.name for field, _ in chosen] for chosen in (numbers, categories))

    def told(method: CorrelationMethod, names: list[str], others: list[str], found: Matrix) -> Correlations:
        return Correlations(method=method, rows=names, columns=others, values=_cells(found), sampled=sampled)

    found = []
    if len(numbers) > 1:
        found.append(told(CorrelationMethod.PEARSON, number_names, number_names, pearson(values)))
        found.append(told(CorrelationMethod.SPEARMAN, number_names, number_names, spearman(values)))
    if len(categories) > 1:
        found.append(told(CorrelationMethod.CRAMERS_V, category_names, category_names, cramers(codes)))
    if numbers and categories:
        ratios = np.array([[correlation_ratio(code, value) for value in values] for code in codes])
        found.append(told(CorrelationMethod.CORRELATION_RATIO, category_names, number_names, ratios))
    return found


def spread(rows: int, wanted: int) -> npt.NDArray[np.int64]:
    """So many row numbers at even distances."""
    return np.linspace(0, rows - 1, min(rows, wanted)).astype(np.int64)


def _is_measure(column: ColumnProfile) -> bool:
    return column.numbers is not None and not column.constant


def _is_grouping(column: ColumnProfile) -> bool:
    grouping = column.type in (ColumnType.CATEGORY, ColumnType.BOOLEAN, ColumnType.TEXT)
    return grouping and 2 <= column.distinct.value <= min(_CATEGORIES, column.count / 2)


def _informative(pairs: Sequence[Pair], target: str | None) -> list[Pair]:
    """The target, then measurements before keys, and those with most values first; in the order of the file."""

    def rank(pair: Pair) -> tuple[bool, bool, int]:
        _, column = pair
        is_id = column.semantic is not None and column.semantic.type is SemanticType.ID
        return column.name != target, is_id, column.missing

    return sorted(sorted(pairs, key=rank)[:_COLUMNS], key=lambda pair: pair[0].index)


def symmetric(size: int, measure: Callable[[int, int], float]) -> Matrix:
    """Of each pair once; a column with itself is 1."""
    found = np.eye(size)
    for i in range(size):
        for j in range(i):
            found[i, j] = found[j, i] = measure(i, j)
    return found


def pearson(columns: Sequence[Floats]) -> Matrix:
    return symmetric(len(columns), lambda i, j: _pearson(columns[i], columns[j]))


def spearman(columns: Sequence[Floats]) -> Matrix:
    """Pearson's of the ranks among the rows that both have. Columns without gaps are ranked once."""
    complete = [None if np.isnan(column).any() else ranks(column) for column in columns]

    def measure(i: int, j: int) -> float:
        a, b = complete[i], complete[j]
        if a is None or b is None:
            both = ~(np.isnan(columns[i]) | np.isnan(columns[j]))
            a, b = ranks(columns[i][both]), ranks(columns[j][both])
        return _pearson(a, b)

    return symmetric(len(columns), measure)


def _pearson(a: Floats, b: Floats) -> float:
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 2:
        return float("nan")
    x, y = _standardised(a[both]), _standardised(b[both])
    norm = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / norm, -1, 1)) if norm > 0 else float("nan")


def _standardised(values: Floats) -> Floats:
    """Centred, and scaled to at most 1, before anything is squared."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros_like(values)
    scaled = values / max(abs(low), abs(high))
    centred: Floats = scaled - scaled.mean()
    centred /= np.abs(centred).max()
    return centred


def ranks(values: Floats) -> Floats:
    """From 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts - 1) / 2)[inverse]
    return shared


def cramers(columns: Sequence[Codes]) -> Matrix:
    return symmetric(len(columns), lambda i, j: cramers_v(columns[i], columns[j]))


def cramers_v(a: Codes, b: Codes) -> float:
    """Bias-corrected: Bergsma, A bias-correction for Cramer's V and Tschuprow's T, 2013."""
    both = (a >= 0) & (b >= 0)
    table = _crossed(a[both], b[both])
    n, (rows, columns) = table.sum(), table.shape
    if n < 2 or min(rows, columns) < 2:
        return float("nan")
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    phi2 = float(((table - expected) ** 2 / expected).sum() / n)
    corrected = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(size - (size - 1) ** 2 / (n - 1) for size in (rows, columns)) - 1
    return min(1.0, float(np.sqrt(corrected / smaller))) if smaller > 0 else float("nan")


def _crossed(a: Codes, b: Codes) -> Matrix:
    """How often each combination occurs, without the rows and columns that are empty."""
    _, rows = np.unique(a, return_inverse=True)
    names, columns = np.unique(b, return_inverse=True)
    width = len(names)
    height = int(rows.max(initial=-1)) + 1
    counts = np.bincount(rows * width + columns, minlength=height * width)
    return counts.reshape(height, width).astype(np.float64)


def correlation_ratio(codes: Codes, values: Floats) -> float:
    """Eta: the square root of the share of variance that lies between the categories (Pearson 1905)."""
    both = (codes >= 0) & ~np.isnan(values)
    if both.sum() < 2:
        return float("nan")
    x, groups = _standardised(values[both]), codes[both]
    total = float(x @ x)
    counts = np.bincount(groups)
    sums = np.bincount(groups, weights=x)
    between = float((sums[counts > 0] ** 2 / counts[counts > 0]).sum())
    return float(np.sqrt(min(1.0, between / total))) if total > 0 else float("nan")


def _cells(found: Matrix) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in found]
