"""Rows that could not be read, kept with their line and the reason."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

_SCHEMA = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])
_BATCH = 1_000
_LONGEST_TEXT = 10_000


class Rejects:
    """Writes them as they come. The file exists from the first one on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.first = ""
        """Where the first one is and why, for messages."""
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[tuple[int, str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, line: int, reason: str, text: str) -> None:
        """Of a long text its beginning is kept, and bytes that are no text are shown escaped."""
        if not self.count:
            self.first = f"line {line}: {reason}"
        self.count += 1
        shown = text[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
        self._rows.append((line, reason, shown))
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, _SCHEMA, compression="zstd")
        columns = [
            pa.array(column, field.type) for column, field in zip(zip(*self._rows, strict=True), _SCHEMA, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))
        self._rows.clear()
