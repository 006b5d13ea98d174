"""Whole rows: which are equal, and which cells are missing together."""

import math
from collections.abc import Sequence

from consumers.profiling.duck import Duck, select
from consumers.profiling.source import Field, Source
from schemas.profile import Measured, MissingPattern

_PATTERN_COLUMNS = 20
"""So many have a million patterns at most, which fit into memory whatever is missing."""
_PATTERNS = 20


class RowHashes:
    """Of as many columns at a time as fit into memory, put side by side in the order of rows."""

    def __init__(self, duck: Duck) -> None:
        self._duck = duck
        self._tables: list[str] = []
        self.relation: str | None = None
        """A query with the column `h`, when the last columns were added."""

    def add(self, relation: str, fields: Sequence[Field], last: bool) -> None:
        """A table of its own is made only where there are more columns to come, or came before."""
        hashed = select([f"hash({', '.join(field.key for field in fields)}) AS h"], relation)
        if last and not self._tables:
            self.relation = f"({hashed})"
            return
        name = f"hashes_{len(self._tables)}"
        self._duck.execute(f"CREATE TEMP TABLE {name} AS {hashed}")
        self._tables.append(name)
        if last:
            combined = ", ".join(f"{name}.h" for name in self._tables)
            self.relation = f"({select([f'hash({combined}) AS h'], ' POSITIONAL JOIN '.join(self._tables))})"


def duplicates(duck: Duck, hashes: str, rows: int) -> Measured:
    """Rows equal to an earlier one, by 64 bits of hash: two of a million share one with a probability of 3e-8.

    Of more rows than fit into memory those are counted whose hash is in one part of several, as distinct values are.
    """
    exact = duck.limits.exact_rows
    parts = 1 << math.ceil(math.log2(rows / exact)) if rows > exact else 1
    groups = select(["count(*) - 1 AS more"], hashes, f"WHERE h & {parts - 1} = 0 GROUP BY h HAVING more > 0")
    ((more, squares),) = duck.rows(select(["sum(more)::DOUBLE", "sum(more * more)::DOUBLE"], f"({groups})"))
    if parts == 1:
        return Measured(value=more or 0)
    # Each group of equal rows is in the part with probability 1/parts, which decides the variance. One unseen group
    # may be anywhere, so none found still has an error.
    return Measured(value=(more or 0) * parts, error=math.sqrt((1 - 1 / parts) * squares) / more if more else 1.0)


def missing_patterns(duck: Duck, source: Source, missing: Sequence[tuple[Field, int]]) -> list[MissingPattern]:
    """Of the columns with most missing values, when there are many: `missing` has each with its count."""
    most = sorted((pair for pair in missing if pair[1]), key=lambda pair: -pair[1])[:_PATTERN_COLUMNS]
    fields = sorted((field for field, _ in most), key=lambda field: field.index)
    if not fields:
        return []
    bits = " + ".join(f"({field.key} IS NULL)::INTEGER * {2**bit}" for bit, field in enumerate(fields))
    most_first = f"ORDER BY n DESC, bits LIMIT {_PATTERNS}"
    groups = select([f"{bits} AS bits", "count(*) AS n"], source.relation(fields), "GROUP BY 1")
    found = duck.rows(select(["bits", "n"], f"({groups})", f"WHERE bits > 0 {most_first}"))
    return [MissingPattern(columns=_named(fields, bits), count=n) for bits, n in found]


def _named(fields: Sequence[Field], bits: int) -> list[str]:
    return [field.name for bit, field in enumerate(fields) if bits >> bit & 1]
