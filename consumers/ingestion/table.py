"""Writing a relation as Parquet, typed by what all of its values are."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from consumers.ingestion.conversion import Unreadable
from consumers.ingestion.duck import Duck, Share, part, unheard
from consumers.ingestion.forms import MISFIT
from consumers.ingestion.inference import Field, Relation, narrowed
from consumers.runtime.duck import literal, quoted
from consumers.tables.parquet import parquet_writer
from schemas.datasets import Column, ColumnType

MOST_CATEGORIES = 1_000
WIDE = 500
"""Columns. DuckDB holds 2,048 rows and more at once, by every thread: wider tables are written in slices."""
_ROWS_PER_GROUP = 122_880
_FEWEST_ROWS = 2_048
_CELLS_PER_GROUP = 16 * _ROWS_PER_GROUP
"""A row group is built in memory, by every thread: wide tables get shorter ones."""


def write(duck: Duck, relation: Relation, path: Path, share: Share) -> Relation:
    """The relation with the forms that its columns were found to have."""
    columns = relation.fields
    if len(columns) <= WIDE:
        return _write(duck, relation, path, share)
    slices = [replace(relation, fields=columns[at : at + WIDE]) for at in range(0, len(columns), WIDE)]
    written, parts = [], []
    for number, narrow in enumerate(slices):
        parts.append(path.with_name(f"columns-{number}.parquet"))
        step = part(share, number / len(slices), (number + 1) / len(slices))
        written.append(_write(duck, narrow, parts[-1], step))
    beside_each_other(parts, path)
    return replace(relation, fields=tuple(field for narrow in written for field in narrow.fields))


def beside_each_other(parts: Sequence[Path], path: Path) -> None:
    """The columns of several tables of the same length, a few rows at a time."""
    with ExitStack() as opened:
        files = [opened.enter_context(pq.ParquetFile(part)) for part in parts]
        schema = pa.schema(field for file in files for field in file.schema_arrow)
        writer = opened.enter_context(parquet_writer(path, schema))
        rows = max(1, _CELLS_PER_GROUP // len(schema))
        for batches in zip(*(file.iter_batches(rows) for file in files), strict=True):
            columns = [column for batch in batches for column in batch.columns]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _write(duck: Duck, relation: Relation, path: Path, share: Share) -> Relation:
    open_questions = [field for field in relation.fields if field.open]
    relation = _settled(duck, relation, open_questions, part(share, 0, 0.25))
    try:
        _copied(duck, relation, path, part(share, 0.25, 1))
    except duckdb.Error as error:
        if MISFIT not in str(error):
            raise
        relation = _settled(duck, relation, relation.fields)
        _copied(duck, relation, path, part(share, 0.25, 1))
    return relation


def _copied(duck: Duck, relation: Relation, path: Path, share: Share) -> None:
    """Long texts, of which a usual group does not fit into memory, go into the shortest ones, by one thread."""
    try:
        duck.run(_copy(relation, path, _group_size(len(relation.fields))), share)
    except duckdb.OutOfMemoryException:
        with duck.alone():
            duck.run(_copy(relation, path, _FEWEST_ROWS), share)


def _settled(duck: Duck, relation: Relation, fields: Sequence[Field], share: Share = unheard) -> Relation:
    """Of a column without any value, or with days that nobody can tell from months, the text stays."""
    found = narrowed(duck, relation, fields, share)
    known = (found.get(field.name, field) for field in relation.fields)
    return replace(relation, fields=tuple(known))


def _copy(relation: Relation, path: Path, group_rows: int) -> str:
    forced = (field.form.forced(field.sql, field.present) for field in relation.fields)
    values = ", ".join(
        f"{value} AS {quoted(field.name)}" for value, field in zip(forced, relation.fields, strict=True)
    )
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group_rows}"
    return f"COPY (SELECT {values} FROM {relation.sql}) TO {literal(str(path))} ({options})"  # noqa: S608  # as above


def _group_size(columns: int) -> int:
    rows = _CELLS_PER_GROUP // columns // _FEWEST_ROWS * _FEWEST_ROWS
    return max(_FEWEST_ROWS, min(_ROWS_PER_GROUP, rows))


def described(duck: Duck, relation: Relation, path: Path) -> tuple[int, list[Column]]:
    """The number of rows, and the columns as they were written."""
    with pq.ParquetFile(path) as file:
        meta = file.metadata
        groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
        missing = [sum(_nulls(group, at) for group in groups) for at in range(meta.num_columns)]
        texts = [at for at, field in enumerate(relation.fields) if field.form.type is ColumnType.TEXT]
        repeating = [at for at in texts if all(_has_dictionary(group, at) for group in groups)]
    names = [relation.fields[at].name for at in repeating if missing[at] < meta.num_rows]
    distinct = _distinct(duck, names, path)
    columns = []
    for field, absent in zip(relation.fields, missing, strict=True):
        few = 0 < distinct.get(field.name, 0) <= min(MOST_CATEGORIES, (meta.num_rows - absent) // 2)
        kind = ColumnType.CATEGORY if few else field.form.type
        columns.append(Column(name=field.name, type=kind, missing=absent))
    return meta.num_rows, columns


def _nulls(group: pq.RowGroupMetaData, column: int) -> int:
    statistics = group.column(column).statistics
    if statistics is None or statistics.null_count is None:
        raise Unreadable("The table was written without counts of missing values.")
    return int(statistics.null_count)


def _has_dictionary(group: pq.RowGroupMetaData, column: int) -> bool:
    return bool(group.column(column).has_dictionary_page)


def _distinct(duck: Duck, names: Sequence[str], path: Path) -> dict[str, int]:
    """One column at a time: each needs a hash table of its own."""
    source = f"read_parquet({literal(str(path))})"
    return {
        name: duck.run(f"SELECT count(DISTINCT {quoted(name)}) FROM {source}")[0][0]  # noqa: S608  # quoted
        for name in names
    }
