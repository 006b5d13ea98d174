"""The population stability index: how much the distribution of a column has moved. Pure."""

import math
from collections.abc import Mapping, Sequence

from schemas.profile import Bin, ColumnProfile

_LEAST_SHARE = 0.05
"""Neighbouring bins are joined until they have this share: sparse ones make the index jump."""
MISSING = "missing"
OTHER = "other"

Shares = Mapping[object, float]
"""Rows by bucket: a bin, or a frequent value."""


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


def noise(buckets: int, before: float, after: float) -> float:
    """What the index stays below in 95 of 100 pairs of samples of one distribution, with so many rows each: times
    1/before + 1/after it follows a chi-squared distribution with one degree of freedom less than there are buckets
    (Yurdakul and Naranjo, Journal of Risk Model Validation 14, 2020), whose quantile is Wilson and Hilferty's."""
    free = buckets - 1
    if free < 1 or not before or not after:
        return 0.0
    part = 2 / (9 * free)
    quantile: float = free * (1 - part + 1.645 * math.sqrt(part)) ** 3
    return quantile * (1 / before + 1 / after)


def is_varied(column: ColumnProfile) -> bool:
    """Text with too many values for frequent ones to describe it."""
    return sum(entry.count for entry in column.top) < column.count / 2


def bin_edges(bins: Sequence[Bin]) -> list[float]:
    """Edges of bins that are joined until each is large enough. Beyond the outer ones there was nothing before."""
    least = _LEAST_SHARE * sum(part.count for part in bins)
    edges, gathered = [bins[0].low], 0
    for part in bins[:-1]:
        gathered += part.count
        if gathered >= least and gathered > 0:
            edges.append(part.high)
            gathered = 0
    return [*edges, math.nextafter(bins[-1].high, math.inf)]
