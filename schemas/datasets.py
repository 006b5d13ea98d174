"""What a dataset is made of: the types that its columns can have, and how its file was read."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class ColumnType(StrEnum):
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    CATEGORY = "category"
    """Text with few distinct values, dictionary-encoded."""
    TEXT = "text"
    JSON = "json"
    """Nested values, as JSON text."""


class FileFormat(StrEnum):
    CSV = "csv"
    """Any delimiter."""
    JSON_LINES = "jsonl"
    JSON = "json"
    """An array of objects, or an object of columns."""
    PARQUET = "parquet"
    ARROW = "arrow"
    """Arrow IPC, file or stream: Feather too."""
    EXCEL = "excel"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Column(_Part):
    name: str
    """As in the file, made unique and non-empty."""
    type: ColumnType
    missing: int
    """Rows without a value."""


class Reading(_Part):
    """How the file was understood."""

    format: FileFormat
    compression: str | None = None
    """`gzip`, or `zip` for an archive of one file."""
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    """Whether the first row named the columns."""
    sheet: str | None = None
    renamed: dict[str, str] = {}
    """Columns whose name could not be kept, by the name that they have now."""
