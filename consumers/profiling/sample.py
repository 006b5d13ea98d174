"""A uniform sample of rows, the same for every column, in the order of the file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consumers.profiling.duck import Duck, select
from consumers.profiling.source import Field, Source
from schemas.datasets import ColumnType

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TEXT_CHARACTERS = 200
"""Longer text is cut: a million characters tell no more about what a column is than these."""
_CELLS = 2_000_000
_LEAST_ROWS = 500


class Sample:
    def __init__(self, source: Source, rows: int) -> None:
        """Rows are chosen by the hash of their number, so that a dataset has the same figures in every run."""
        columns = max(1, len(source.fields))
        wanted = min(rows, max(_LEAST_ROWS, _CELLS // columns))
        self.whole = source.rows <= wanted
        share = 1.0 if self.whole else wanted / source.rows
        self._filter = "" if self.whole else f"WHERE hash(r) < {int(share * 2**64)}::UBIGINT"
        self._columns: dict[int, pa.ChunkedArray[Any]] = {}

    @property
    def rows(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def read(self, duck: Duck, relation: str, fields: Sequence[Field]) -> None:
        table = duck.table(select(map(cut, fields), relation, f"{self._filter} ORDER BY r"))
        self._columns.update(zip((field.index for field in fields), table.columns, strict=True))

    def column(self, field: Field) -> "pa.ChunkedArray[Any]":
        return self._columns[field.index]

    def numbers(self, field: Field) -> Floats:
        """NaN where a value is missing or infinite."""
        values = _with_nan(pc.cast(self.column(field).combine_chunks(), pa.float64(), safe=False))
        return np.where(np.isfinite(values), values, np.nan)

    def codes(self, field: Field) -> Codes:
        """A small number for each value, -1 where it is missing."""
        codes = _with_nan(pc.cast(self.column(field).combine_chunks().dictionary_encode().indices, pa.float64()))
        return np.where(np.isnan(codes), -1, codes).astype(np.int64)

    def present(self, field: Field, most: int) -> list[Any]:
        """Values of the first rows that have one."""
        values: list[Any] = self.column(field).drop_null().slice(0, most).to_pylist()
        return values


def _with_nan(values: "pa.Array[Any]") -> Floats:
    """From the buffers: pyarrow's own way imports pandas where it is installed, which takes 0.16 s and 40 MB."""
    if not len(values):
        return np.empty(0)
    valid, content = values.buffers()
    rows = slice(values.offset, values.offset + len(values))
    found = np.frombuffer(content, np.float64)[rows]
    if valid is None:
        return found
    return np.where(np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[rows], found, np.nan)


def cut(field: Field) -> str:
    """The value as an expression, as long as anybody needs it."""
    if field.is_text:
        return f"left({field.key}, {TEXT_CHARACTERS}) AS {field.key}"
    # Arrow has no integers of 128 bits, and what needs more than 64 is not exact in a sample.
    return f"{field.key}::DOUBLE AS {field.key}" if field.type is ColumnType.INTEGER else field.key
