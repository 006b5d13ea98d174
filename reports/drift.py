"""How much two profiles differ, by the population stability index of each column that both have."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from schemas.profile import Bin, ColumnDrift, ColumnProfile, DatasetProfile, ProfileComparison

_LEAST_SHARE = 0.05
"""Neighbouring bins are joined until they have this share: sparse ones make the index jump."""
_MISSING = "missing"
_OTHER = "other"

Shares = Mapping[object, float]
"""Rows by bucket: a bin, or a frequent value."""


def compare(before: DatasetProfile, after: DatasetProfile) -> ProfileComparison:
    old, new = ({column.name: column for column in profile.columns} for profile in (before, after))
    drift = [_drift(old[name], new[name]) for name in old if name in new]
    return ProfileComparison(
        before=before.name,
        after=after.name,
        rows_before=before.rows,
        rows_after=after.rows,
        added=[name for name in new if name not in old],
        removed=[name for name in old if name not in new],
        drift=sorted(drift, key=lambda each: -each.score),
    )


def _drift(before: ColumnProfile, after: ColumnProfile) -> ColumnDrift:
    return ColumnDrift(
        column=before.name,
        score=stability_index(*_buckets(before, after)),
        missing_before=_missing_share(before),
        missing_after=_missing_share(after),
        type_before=before.type,
        type_after=after.type,
    )


def stability_index(before: Shares, after: Shares) -> float:
    """Half a row is added to each bucket, so that one that is empty on one side does not make it infinite."""
    buckets = [bucket for bucket in {**before, **after} if before.get(bucket) or after.get(bucket)]
    old_total, new_total = (sum(counts.values()) for counts in (before, after))
    if not old_total or not new_total:
        return 0.0
    more = 0.5 * len(buckets)
    shares = [
        ((before.get(b, 0) + 0.5) / (old_total + more), (after.get(b, 0) + 0.5) / (new_total + more)) for b in buckets
    ]
    return sum((new - old) * math.log(new / old) for old, new in shares)


def _buckets(before: ColumnProfile, after: ColumnProfile) -> tuple[Shares, Shares]:
    old, new = _histograms(before, after)
    if old and new:
        edges = _joined(old)
        found = _between(old, edges), _between(new, edges)
    else:
        kept = {str(entry.value) for entry in before.top}
        found = _frequent(before, kept), _frequent(after, kept)
    return {_MISSING: before.missing, **found[0]}, {_MISSING: after.missing, **found[1]}


def _missing_share(column: ColumnProfile) -> float:
    rows = column.count + column.missing
    return column.missing / rows if rows else 0.0


def _histograms(before: ColumnProfile, after: ColumnProfile) -> tuple[Sequence[Bin], Sequence[Bin]]:
    """Of the values; of text too varied for frequent values, of its lengths. None of columns that differ in kind."""
    if before.numbers is not None and after.numbers is not None:
        return before.numbers.histogram, after.numbers.histogram
    if before.times is not None and after.times is not None:
        return before.times.histogram, after.times.histogram
    if before.text is not None and after.text is not None and (_is_varied(before) or _is_varied(after)):
        return before.text.lengths, after.text.lengths
    return (), ()


def _is_varied(column: ColumnProfile) -> bool:
    return sum(entry.count for entry in column.top) < column.count / 2


def _joined(bins: Sequence[Bin]) -> list[float]:
    """Edges of bins that are joined until each is large enough. Beyond the outer ones there was nothing before."""
    least = _LEAST_SHARE * sum(part.count for part in bins)
    edges, gathered = [bins[0].low], 0
    for part in bins[:-1]:
        gathered += part.count
        if gathered >= least and gathered > 0:
            edges.append(part.high)
            gathered = 0
    return [*edges, math.nextafter(bins[-1].high, math.inf)]


def _between(bins: Sequence[Bin], edges: Sequence[float]) -> Shares:
    """Counts between the edges, of bins with other edges: values are taken as spread evenly within a bin."""
    below = [0.0, *(_below(bins, edge) for edge in edges), float(sum(part.count for part in bins))]
    return {number: high - low for number, (low, high) in enumerate(pairwise(below))}


def _below(bins: Sequence[Bin], edge: float) -> float:
    return sum(part.count * _share_below(part, edge) for part in bins)


def _share_below(part: Bin, edge: float) -> float:
    if edge <= part.low:
        return 0.0
    return 1.0 if edge >= part.high else (edge / 2 - part.low / 2) / (part.high / 2 - part.low / 2)


def _frequent(column: ColumnProfile, kept: set[str]) -> Shares:
    counts: dict[object, float] = {f"={entry.value}": entry.count for entry in column.top if str(entry.value) in kept}
    return {**counts, _OTHER: column.count - sum(counts.values())}
