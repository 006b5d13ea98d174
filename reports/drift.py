"""How much two profiles differ, by the population stability index of each column that both have."""

from collections.abc import Sequence
from itertools import pairwise

from reports.stability import MISSING, OTHER, Shares, bin_edges, is_varied, stability_index
from schemas.profile import Bin, ColumnDrift, ColumnProfile, DatasetProfile, ProfileComparison


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


def _buckets(before: ColumnProfile, after: ColumnProfile) -> tuple[Shares, Shares]:
    old, new = _histograms(before, after)
    if old and new:
        edges = bin_edges(old)
        found = _between(old, edges), _between(new, edges)
    else:
        kept = {str(entry.value) for entry in before.top}
        found = _frequent(before, kept), _frequent(after, kept)
    return {MISSING: before.missing, **found[0]}, {MISSING: after.missing, **found[1]}


def _missing_share(column: ColumnProfile) -> float:
    rows = column.count + column.missing
    return column.missing / rows if rows else 0.0


def _histograms(before: ColumnProfile, after: ColumnProfile) -> tuple[Sequence[Bin], Sequence[Bin]]:
    """Of the values; of text too varied for frequent values, of its lengths. None of columns that differ in kind."""
    if before.numbers is not None and after.numbers is not None:
        return before.numbers.histogram, after.numbers.histogram
    if before.times is not None and after.times is not None:
        return before.times.histogram, after.times.histogram
    if before.text is not None and after.text is not None and (is_varied(before) or is_varied(after)):
        return before.text.lengths, after.text.lengths
    return (), ()


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
    return {**counts, OTHER: column.count - sum(counts.values())}
