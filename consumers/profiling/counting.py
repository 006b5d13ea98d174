"""Distinct values and the most frequent ones.

Exact where all distinct values fit into memory. Beyond, a part of the values is counted, chosen by their hash: all
occurrences of a value are in that part or none, so that its distinct values, times the number of parts, estimate
those of the column (distinct sampling: Gibbons, VLDB 2001), and counts stay exact. Frequent values of the row sample
are counted along, whatever their hash.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from consumers.profiling.duck import Duck, select
from consumers.profiling.sample import TEXT_CHARACTERS, Sample
from consumers.profiling.source import Field
from consumers.profiling.times import moment
from consumers.runtime.duck import literal
from schemas.datasets import ColumnType
from schemas.profile import Measured, ValueCount

TOP = 20
_CANDIDATES = 40
_SHARE_COUNTED = 20
"""Of more distinct values than may be exact, at least a twentieth of that many are counted: of half a million 25,000,
so that the standard error is 0.63 % at most."""


@dataclass(frozen=True)
class Counts:
    distinct: Measured
    unique: bool
    top: list[ValueCount]


def first_scan(field: Field, exact: bool) -> dict[str, str]:
    """Few enough rows are counted whatever is in them. For more, an estimate of the distinct values decides."""
    asked = {"count": f"count({field.key})"}
    return asked if exact else asked | {"roughly": f"approx_count_distinct({field.key})"}


def count(duck: Duck, relation: str, field: Field, first: Mapping[str, Any], sample: Sample) -> Counts:
    present = first["count"]
    if not present:
        return Counts(Measured(value=0), unique=False, top=[])
    parts = _parts(min(present, first.get("roughly", present)), duck.limits.exact_rows)
    key, where = field.key, f"{field.key} IS NOT NULL"
    if parts > 1:
        frequent = " OR ".join([f"hash({key}) & {parts - 1} = 0", *_frequent(field, sample)])
        where = f"{where} AND ({frequent})"
    group = [f"hash({key}) AS h", f"{_shown(key)} AS v"] if _is_cut(field, first) else [f"{key} AS v"]
    counted = f"hash({key}) & {parts - 1} = 0" if parts > 1 else "true"
    groups = select([*group, f"{counted} AS counted", "count(*) AS n"], relation, f"WHERE {where} GROUP BY ALL")
    asked = ["count_if(counted)", "max(n) FILTER (counted)", f"min({{'n': -n, 'v': v}}, {TOP})"]
    ((distinct, most, top),) = duck.rows(select(asked, f"({groups})"))
    return Counts(
        distinct=_distinct(distinct, parts, present),
        unique=most == 1,
        top=[ValueCount(value=shown(field, entry["v"]), count=-entry["n"]) for entry in top],
    )


def _is_cut(field: Field, first: Mapping[str, Any]) -> bool:
    """Text that is cut is told apart by its hash. Two of a million values share one with a probability of 3e-8."""
    return field.is_text and first["max"] > TEXT_CHARACTERS


def shown(field: Field, value: Any) -> JsonValue:
    if value is None or isinstance(value, (str, bool)):
        return value
    if field.tick_s is not None:
        at = moment(field, value)
        return at.date().isoformat() if field.type is ColumnType.DATE else at.isoformat()
    if field.type is ColumnType.FLOAT:
        return float(value) if math.isfinite(value) else str(float(value))
    return int(value)


def _parts(distinct: int, exact: int) -> int:
    """A power of two, 1 where every value is counted."""
    return 1 if distinct <= exact else 1 << int(math.log2(distinct / exact * _SHARE_COUNTED))


def _distinct(counted: int, parts: int, present: int) -> Measured:
    if parts == 1:
        return Measured(value=counted)
    return Measured(value=min(counted * parts, present), error=math.sqrt((1 - 1 / parts) / max(1, counted)))


def _frequent(field: Field, sample: Sample) -> list[str]:
    """A condition for the values that occur more than once in the sample, if there are any."""
    counts = Counter(sample.column(field).drop_null().to_pylist())
    values = [value for value, number in counts.most_common(_CANDIDATES) if number > 1]
    if not values:
        return []
    compared = _shown(field.key) if field.is_text else field.key
    return [f"{compared} IN ({', '.join(_sql(field, value) for value in values)})"]


def _shown(key: str) -> str:
    return f"left({key}, {TEXT_CHARACTERS})"


def _sql(field: Field, value: Any) -> str:
    if field.is_text:
        return literal(value)
    return repr(value) if math.isfinite(value) else f"'{value}'"
