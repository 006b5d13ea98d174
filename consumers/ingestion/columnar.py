"""Parquet and Arrow: files that say their types themselves, which become ours."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from consumers.ingestion import names
from consumers.ingestion.conversion import Limits, Unreadable
from consumers.ingestion.duck import Duck, Share, part
from consumers.ingestion.forms import INTEGER, Form
from consumers.ingestion.inference import Field, Relation
from consumers.ingestion.table import write
from consumers.ingestion.work import Read, Work
from consumers.runtime.duck import literal, quoted
from consumers.tables.parquet import parquet_writer
from schemas.datasets import ColumnType, FileFormat, Reading

ARROW_FILE = b"ARROW1"
_SHORT_GROUP = 2_048  # rows
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_LONG = ("UBIGINT", "HUGEINT", "UHUGEINT")
_NESTED = ("STRUCT", "MAP", "UNION", "JSON", "VARIANT")

_NUMBER = "CAST({c} AS DOUBLE)"
_FORMS = {
    kind: Form(kind, sql, total=True)
    for kind, sql in {
        ColumnType.INTEGER: "CAST({c} AS BIGINT)",
        ColumnType.FLOAT: f"CASE WHEN NOT isnan({_NUMBER}) THEN {_NUMBER} END",
        ColumnType.BOOLEAN: "{c}",
        ColumnType.DATE: "{c}",
        ColumnType.TIMESTAMP: "CAST({c} AS TIMESTAMP)",
        ColumnType.TEXT: "CAST({c} AS VARCHAR)",
        ColumnType.JSON: "CAST(to_json({c}) AS VARCHAR)",
    }.items()
}
_BASE64 = Form(ColumnType.TEXT, "to_base64({c})", total=True)


def read_parquet(work: Work, share: Share) -> Read:
    try:
        given = pq.read_schema(work.path).names
        relation, renamed = _relation(work.duck, work.path, given, work.limits)
        reading = Reading(format=FileFormat.PARQUET, renamed=renamed)
        try:
            return write(work.duck, relation, work.parquet, share), reading
        except duckdb.OutOfMemoryException:
            relation = replace(relation, sql=_source(_in_short_groups(work.path, work.beside("staged.parquet"))))
            return write(work.duck, relation, work.parquet, share), reading
    except duckdb.OutOfMemoryException:
        raise
    except (pa.ArrowException, duckdb.Error, OSError) as error:
        raise Unreadable(f"The Parquet file is damaged or encrypted ({error}): write it again.") from None


def _in_short_groups(path: Path, staged: Path) -> Path:
    """DuckDB holds whole pages of each column, which may be as large as the writer liked."""
    with pq.ParquetFile(path, pre_buffer=False) as file, parquet_writer(staged, file.schema_arrow, "lz4") as writer:
        for batch in file.iter_batches(_SHORT_GROUP, use_threads=False):
            writer.write_batch(batch)
    return staged


def read_arrow(work: Work, share: Share) -> Read:
    """By way of a Parquet file, which can be read more than once at no cost in memory."""
    try:
        staged, given = _as_parquet(work.path, work.beside("staged.parquet"), part(share, 0, 0.5))
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"The Arrow file cannot be read ({error}): write it again, or as Parquet.") from None
    relation, renamed = _relation(work.duck, staged, given, work.limits)
    reading = Reading(format=FileFormat.ARROW, renamed=renamed)
    return write(work.duck, relation, work.parquet, part(share, 0.5, 1)), reading


def _as_parquet(path: Path, staged: Path, share: Share) -> tuple[Path, list[str]]:
    with pa.memory_map(str(path)) as file:
        is_file = file.read(len(ARROW_FILE)) == ARROW_FILE
        file.seek(0)
        reader = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
        given = reader.schema.names
        numbered = pa.schema(field.with_name(f"c{at}") for at, field in enumerate(reader.schema))
        with parquet_writer(staged, numbered, "lz4") as writer:
            for batch in _batches(reader):
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=numbered))
                share(min(1.0, file.tell() / max(1, file.size())))
    return staged, given


def _batches(reader: pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)


def _relation(duck: Duck, path: Path, given: list[str], limits: Limits) -> tuple[Relation, dict[str, str]]:
    source = _source(path)
    described = duck.run(f"DESCRIBE SELECT * FROM {source}")  # noqa: S608  # quoted
    if len(described) > limits.max_columns:
        most = f"{limits.max_columns:,} are the most"
        raise Unreadable(f"The table has {len(described):,} columns, and {most}: leave some out.")
    unique, renamed = names.kept(given)
    fields = [_field(name, quoted(row[0]), row[1]) for name, row in zip(unique, described, strict=True)]
    return Relation(source, tuple(fields)), renamed


def _source(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def _field(name: str, column: str, kind: str) -> Field:
    if kind in _LONG:
        return Field(name, f"CAST({column} AS VARCHAR)", (INTEGER,), settled=False, open=True)
    return Field(name, column, (_form(kind),))


def _form(kind: str) -> Form:
    if kind == "BLOB":
        return _BASE64
    if kind.endswith("]") or kind.startswith(_NESTED):
        return _FORMS[ColumnType.JSON]
    if kind in _INTEGERS:
        return _FORMS[ColumnType.INTEGER]
    if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        return _FORMS[ColumnType.FLOAT]
    if kind in ("BOOLEAN", "DATE"):
        return _FORMS[ColumnType(kind.lower())]
    if kind.startswith("TIMESTAMP"):
        return _FORMS[ColumnType.TIMESTAMP]
    return _FORMS[ColumnType.TEXT]
