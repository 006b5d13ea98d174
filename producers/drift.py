"""How the rows that a model is asked about differ from those that it learned from. Pure.

The bins are those of the training data's profile, joined until each holds a twentieth of its rows: as between two
profiles. A signature has ranges and categories only, which cannot tell a shift within them.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from reports.stability import MISSING, OTHER, Shares, bin_edges, is_varied, noise, stability_index
from schemas.datasets import ColumnType
from schemas.profile import Bin, ColumnProfile
from schemas.registry import InputDrift

_SHIFTING, _SHIFTED = 0.1, 0.25
_TIMES = (ColumnType.DATE, ColumnType.TIMESTAMP)

Bucket = Callable[[Any], object]


def input_drift(column: ColumnProfile, rows: Sequence[Mapping[str, Any]]) -> InputDrift | None:
    """None where the profile says nothing to compare with."""
    reference = _reference(column)
    if reference is None or not rows:
        return None
    shares, bucket = reference
    values = [row.get(column.name) for row in rows]
    asked = Counter(MISSING if value is None else bucket(value) for value in values)
    before = {MISSING: column.missing, **shares}
    score = stability_index(before, asked)
    buckets = sum(1 for each in {**before, **asked} if before.get(each) or asked.get(each))
    below = noise(buckets, sum(before.values()), len(rows))
    return InputDrift(
        column=column.name,
        score=score,
        noise=below,
        verdict=_verdict(score, below),
        missing_before=column.missing / max(1, column.count + column.missing),
        missing_after=asked[MISSING] / len(rows),
    )


def _verdict(score: float, below: float) -> Literal["alike", "shifting", "shifted", "unsure"]:
    if below >= _SHIFTED:
        return "unsure"
    if score <= max(_SHIFTING, below):
        return "alike"
    return "shifted" if score > _SHIFTED else "shifting"


def _reference(column: ColumnProfile) -> tuple[Shares, Bucket] | None:
    if column.numbers is not None:
        return _binned(column.numbers.histogram, _number)
    if column.times is not None:
        return _binned(column.times.histogram, _seconds)
    if column.text is not None and is_varied(column):
        return _binned(column.text.lengths, lambda value: len(str(value)))
    if not column.top:
        return None
    shares: dict[object, float] = {f"={_spelled(entry.value)}": entry.count for entry in column.top}
    shares[OTHER] = column.count - sum(shares.values())
    return shares, lambda value: key if (key := f"={_spelled(value)}") in shares else OTHER


def _binned(bins: Sequence[Bin], measure: Callable[[Any], float | None]) -> tuple[Shares, Bucket] | None:
    if not bins:
        return None
    edges = bin_edges(bins)
    shares: Counter[object] = Counter()
    for part in bins:
        shares[bisect_right(edges, part.low)] += part.count

    def bucket(value: Any) -> object:
        found = measure(value)
        return MISSING if found is None else bisect_right(edges, found)

    return shares, bucket


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds(value: Any) -> float | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _spelled(value: Any) -> str:
    """Booleans as profiles write them, whoever wrote them."""
    return str(value).lower() if isinstance(value, bool) else str(value)
