"""Columns that are equal in every row."""

from collections import defaultdict
from collections.abc import Sequence

from consumers.profiling.correlations import Pair
from consumers.profiling.duck import Duck
from consumers.profiling.sample import Sample
from consumers.profiling.source import Field, Source


def equal_columns(duck: Duck, source: Source, pairs: Sequence[Pair], sample: Sample) -> list[list[str]]:
    """Groups of names. Columns with equal samples are compared in all rows, each with the first of its group."""
    alike: dict[object, list[Field]] = defaultdict(list)
    for field, column in pairs:
        if column.count and not column.constant:
            alike[field.type, column.count, column.distinct.value, _digest(field, sample)].append(field)
    groups = []
    for first, *others in alike.values():
        if others:
            equal = _equal(duck, source, first, others)
            groups += [[first.name, *(field.name for field in equal)]] if equal else []
    return groups


def _digest(field: Field, sample: Sample) -> int:
    return hash(tuple(sample.column(field).to_pylist()))


def _equal(duck: Duck, source: Source, first: Field, others: Sequence[Field]) -> list[Field]:
    different = {field: f"count_if({first.key} IS DISTINCT FROM {field.key})" for field in others}
    found = duck.gather(source.relation([first, *others]), different)
    return [field for field in others if not found[field]]
