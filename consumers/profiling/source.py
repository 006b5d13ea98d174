"""The Parquet file as a relation of plain columns `c0`, `c1`, ... and the row number `r`.

Names of columns never reach a query but through this module. Dates and timestamps become whole numbers, which have no
range that Python or DuckDB could overflow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from consumers.profiling.duck import Duck, select
from consumers.runtime.duck import literal, quoted
from schemas.datasets import ColumnType

TYPE_KEY = b"millrace.type"
"""Field metadata in which ingestion keeps a column's type."""
_NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.FLOAT})
_TEXTS = frozenset({ColumnType.CATEGORY, ColumnType.TEXT, ColumnType.JSON})
_TICKS = {ColumnType.DATE: 86_400.0, ColumnType.TIMESTAMP: 1e-6}
_ROW_NUMBER = "file_row_number"
"""DuckDB's own column of each Parquet file, unless the file has one of that name."""


@dataclass(frozen=True)
class Field:
    index: int
    name: str
    type: ColumnType
    declared: bool
    """Whether the file says the type; where it does not, text with few values will be called a category."""
    sql: str
    """The value, as an expression over the file's own columns."""

    @property
    def key(self) -> str:
        """The column in the relation."""
        return f"c{self.index}"

    @property
    def is_number(self) -> bool:
        return self.type in _NUMBERS

    @property
    def is_text(self) -> bool:
        return self.type in _TEXTS

    @property
    def tick_s(self) -> float | None:
        """Seconds in one unit of a date or timestamp; None for other types."""
        return _TICKS.get(self.type)

    @property
    def finite(self) -> str:
        """The value as an expression, null where it is infinite or not a number."""
        return f"CASE WHEN isfinite({self.key}) THEN {self.key} END" if self.type is ColumnType.FLOAT else self.key


@dataclass(frozen=True)
class Source:
    path: Path
    rows: int
    bytes: int
    fields: tuple[Field, ...]
    row_number: str

    def relation(self, fields: Sequence[Field]) -> str:
        columns = [f"{self.row_number} AS r", *(f"{field.sql} AS {field.key}" for field in fields)]
        return f"({select(columns, _scan(self.path))})"


def open_source(duck: Duck, path: Path, types: Mapping[str, ColumnType] | None = None) -> Source:
    """`types` are what is known of columns by name, before what the file says."""
    metadata = pq.read_metadata(path)
    schema = metadata.schema.to_arrow_schema()
    # DuckDB ignores case, and renames columns whose names differ in nothing else.
    names = [row[0] for row in duck.rows(f"DESCRIBE FROM {_scan(path)}")] if len(schema) else []
    known = types or {}
    fields = (
        _field(index, field, name, known.get(field.name))
        for index, (field, name) in enumerate(zip(schema, names, strict=True))
    )
    hidden = _ROW_NUMBER in map(str.lower, names)
    row_number = "row_number() OVER ()" if hidden else _ROW_NUMBER
    return Source(path, metadata.num_rows, path.stat().st_size, tuple(fields), row_number)


def _scan(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def _field(index: int, field: "pa.Field[pa.DataType]", name: str, told: ColumnType | None) -> Field:
    in_file = (field.metadata or {}).get(TYPE_KEY)
    declared = told or (ColumnType(in_file.decode()) if in_file else None)
    column_type = declared or _type_of(field.type)
    known = declared is not None or pa.types.is_dictionary(field.type)
    return Field(index, field.name, column_type, known, _expression(quoted(name), column_type, field.type))


def _type_of(stored: pa.DataType) -> ColumnType:
    types = pa.types
    if types.is_dictionary(stored):
        return ColumnType.CATEGORY
    if types.is_integer(stored):
        return ColumnType.INTEGER
    if types.is_floating(stored) or types.is_decimal(stored):
        return ColumnType.FLOAT
    if types.is_boolean(stored):
        return ColumnType.BOOLEAN
    if types.is_date(stored):
        return ColumnType.DATE
    if types.is_timestamp(stored):
        return ColumnType.TIMESTAMP
    return ColumnType.JSON if types.is_nested(stored) else ColumnType.TEXT


def _expression(name: str, column_type: ColumnType, stored: pa.DataType) -> str:
    if column_type is ColumnType.INTEGER:
        return f"{name}::{'HUGEINT' if pa.types.is_uint64(stored) else 'BIGINT'}"
    if column_type is ColumnType.DATE:
        return f"({name}::DATE - DATE '1970-01-01')::BIGINT"
    if column_type is ColumnType.TIMESTAMP:
        # DuckDB has no way from nanoseconds with a zone to microseconds without one but in two steps.
        return f"epoch_us({name}::{'TIMESTAMPTZ::' if stored.tz else ''}TIMESTAMP)"
    if column_type is ColumnType.JSON:
        return f"to_json({name})::VARCHAR" if pa.types.is_nested(stored) else f"{name}::VARCHAR"
    return f"{name}::{_CASTS[column_type]}"


_CASTS = {
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.CATEGORY: "VARCHAR",
    ColumnType.TEXT: "VARCHAR",
}
