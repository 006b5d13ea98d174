"""Columns that only rise or only fall from row to row."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from consumers.profiling.duck import Duck, select
from consumers.profiling.sample import Floats, Sample
from consumers.profiling.source import Field

Order = Literal["increasing", "strictly-increasing", "decreasing", "strictly-decreasing"]
_BROKEN_BY: dict[Order, str] = {
    "strictly-increasing": "<=",
    "increasing": "<",
    "strictly-decreasing": ">=",
    "decreasing": ">",
}
_CONSTANT = {"increasing", "decreasing"}


def orders(duck: Duck, relation: str, fields: Sequence[Field], sample: Sample) -> dict[int, Order]:
    """By the index of the field. Missing values break no order: each value is compared with the one before it.

    Comparing neighbours takes one thread and keeps the order of rows, so it is done only for columns in which the
    sample shows no contradiction.
    """
    found: dict[int, Order] = {}
    for field in fields:
        if field.is_text or not _may_be_ordered(sample.numbers(field)):
            continue
        neighbours = [f"{field.key} AS v", f"lag({field.key}) OVER () AS p"]
        present = f"({select(neighbours, relation, f'WHERE {field.key} IS NOT NULL')})"
        broken = duck.gather(present, {order: f"count_if(v {sign} p)" for order, sign in _BROKEN_BY.items()})
        kept = [order for order, count in broken.items() if not count]
        if kept and not set(kept) >= _CONSTANT:
            found[field.index] = kept[0]
    return found


def _may_be_ordered(values: Floats) -> bool:
    present = values[~np.isnan(values)]
    before, after = present[:-1], present[1:]
    return len(before) > 0 and bool(np.all(before <= after) or np.all(before >= after))
