"""The first rows of a table, for people to look at."""

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic_core import to_json

from schemas.datasets import Column

ROWS = 100
_CELLS = 100_000  # a table of 10,000 columns is shown with fewer rows
_LONGEST_TEXT = 1_000  # characters


def preview(parquet: Path, columns: list[Column], into: Path) -> Path:
    """Write `{"columns": [...], "rows": [[...], ...]}`. What JSON has no number for is text."""
    most = min(ROWS, max(1, _CELLS // max(1, len(columns))))
    rows = [[_shown(value) for value in row.values()] for row in _head(parquet, most)]
    into.write_bytes(to_json({"columns": [column.name for column in columns], "rows": rows}))
    return into


def _head(parquet: Path, most: int) -> list[dict[str, Any]]:
    with pq.ParquetFile(parquet) as file:
        batch = next(file.iter_batches(batch_size=most), None)
    return [] if batch is None else batch.to_pylist()


def _shown(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case str():
            return value if len(value) <= _LONGEST_TEXT else value[:_LONGEST_TEXT] + "…"
        case datetime() | date():
            return value.isoformat()
    return value
