"""The profile of one Parquet file of any size, computed in a fixed amount of memory.

Three scans see every row: what is counted and its extremes, then sums and histograms that need them, then each column
alone for its distinct values. What is about pairs of columns or about meaning is computed from one sample of rows.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from consumers.profiling.alerts import column_alerts, ranked
from consumers.profiling.columns import Part
from consumers.profiling.correlations import correlations
from consumers.profiling.counting import shown
from consumers.profiling.duck import Duck, Limits, select
from consumers.profiling.leakage import target_scores
from consumers.profiling.relations import correlated, duplicate_columns, duplicate_rows, leaks
from consumers.profiling.rows import RowHashes, duplicates, missing_patterns
from consumers.profiling.sample import Sample, cut
from consumers.profiling.semantics import LOOKED_AT
from consumers.profiling.source import Field, Source, open_source
from consumers.profiling.twins import equal_columns
from schemas.datasets import ColumnType
from schemas.profile import ColumnProfile, DatasetProfile, Measured

__all__ = ["Limits", "profile"]

Progress = Callable[[float, str], None]

Row = dict[str, JsonValue]

_USUAL = Limits()
_TOGETHER = 50
"""Columns profiled together: the readers of so many hold about 50 MB."""
_STAGED_CELLS = 2_000_000
"""So many are copied into a table of DuckDB's, where a query does not begin with the footer of the file, which takes
longer than the rest when there are thousands of columns."""
_HEAD_ROWS = 10
_COLUMNS_SHARE = 0.9
"""Of the time; what is about pairs takes the rest."""


def profile(
    parquet: Path,
    *,
    name: str,
    dataset_id: str | None = None,
    version: str | None = None,
    target: str | None = None,
    types: Mapping[str, ColumnType] | None = None,
    limits: Limits = _USUAL,
    now: datetime | None = None,
    progress: Progress = lambda _fraction, _message: None,
) -> DatasetProfile:
    """`types` are those that ingestion found; without them the file decides, and how few values there are.

    `now` decides what is in the future. Progress goes from 0 to 1.
    """
    started = time.monotonic()
    now = now or datetime.now(UTC)
    with Duck(limits) as duck:
        source = open_source(duck, parquet, types)
        sample = Sample(source, limits.sample_rows)
        columns, first_rows, hashes = _each_column(duck, source, sample, now, progress)
        pairs = list(zip(source.fields, columns, strict=True))
        progress(_COLUMNS_SHARE, "comparing rows and columns")
        repeated = _duplicates(duck, hashes, source.rows, columns)
        gaps = missing_patterns(duck, source, [(field, column.missing) for field, column in pairs])
        equal = equal_columns(duck, source, pairs, sample)
    together = correlations(pairs, sample, target)
    scores = target_scores(pairs, sample, target) if target is not None else []
    found = [
        *(alert for field, column in pairs for alert in column_alerts(column, _looked_at(field, sample))),
        *duplicate_rows(repeated, source.rows),
        *duplicate_columns(equal),
        *correlated(together, equal),
        *(leaks(scores, target) if target is not None else ()),
    ]
    progress(1.0, "profiled")
    return DatasetProfile(
        name=name,
        dataset_id=dataset_id,
        version=version,
        created_at=now,
        seconds=time.monotonic() - started,
        rows=source.rows,
        bytes=source.bytes,
        missing_cells=sum(column.missing for column in columns),
        duplicate_rows=repeated,
        columns=columns,
        alerts=ranked(found),
        correlations=together,
        missing_patterns=gaps,
        target=target,
        target_scores=scores,
        sample=first_rows,
    )


def _each_column(
    duck: Duck, source: Source, sample: Sample, now: datetime, progress: Progress
) -> tuple[list[ColumnProfile], list[Row], str | None]:
    """With the first rows, and the relation of all rows' hashes."""
    columns: list[ColumnProfile] = []
    first_rows: list[Row] = [{} for _ in range(min(_HEAD_ROWS, source.rows))]
    hashes = RowHashes(duck)

    def done(field: Field) -> None:
        progress(_COLUMNS_SHARE * (field.index + 1) / len(source.fields), f"column {field.name}")

    for fields in _parts(source.fields):
        relation = _staged(duck, source, fields)
        sample.read(duck, relation, fields)
        for row, more in zip(first_rows, _head(duck, relation, fields), strict=True):
            row |= more
        columns += Part(duck, relation, fields, source.rows, sample, now).profiles(done)
        hashes.add(relation, fields, last=fields[-1] is source.fields[-1])
    return columns, first_rows, hashes.relation


def _parts(fields: Sequence[Field]) -> Iterator[Sequence[Field]]:
    return (fields[start : start + _TOGETHER] for start in range(0, len(fields), _TOGETHER))


def _staged(duck: Duck, source: Source, fields: Sequence[Field]) -> str:
    relation = source.relation(fields)
    if len(source.fields) <= _TOGETHER or source.rows * len(fields) > _STAGED_CELLS:
        return relation
    duck.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {select(['*'], relation)}")
    return "staged"


def _head(duck: Duck, relation: str, fields: Sequence[Field]) -> list[Row]:
    found = duck.rows(select(map(cut, fields), relation, f"ORDER BY r LIMIT {_HEAD_ROWS}"))
    return [{field.name: shown(field, value) for field, value in zip(fields, row, strict=True)} for row in found]


def _duplicates(duck: Duck, hashes: str | None, rows: int, columns: Sequence[ColumnProfile]) -> Measured:
    """A column of which every value is present and different leaves nothing to look for."""
    if hashes is None or any(_is_key(column) for column in columns):
        return Measured(value=0)
    return duplicates(duck, hashes, rows)


def _is_key(column: ColumnProfile) -> bool:
    return column.unique and not column.missing and column.distinct.error is None


def _looked_at(field: Field, sample: Sample) -> list[str]:
    return sample.present(field, LOOKED_AT) if field.is_text else []
