"""Columns of a Parquet table as the arrays of a frame, read a batch at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from consumers.learning.frame import Array
from schemas.datasets import ColumnType

TEXTUAL = frozenset({ColumnType.CATEGORY, ColumnType.TEXT, ColumnType.JSON})
_BATCH_ROWS = 65_536
_DAY_S = 86_400.0
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def batches(path: Path, names: Sequence[str], types: Sequence[ColumnType]) -> Iterator[list[Array]]:
    """The columns in the given order, of a number of rows at a time."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        at = [schema.get_field_index(name) for name in names]
        # By place: a name with a dot in it would be taken for a path into a nested column.
        for batch in file.iter_batches(_BATCH_ROWS, columns=[schema.field(each).name for each in at]):
            by_name = {name: batch.column(number) for number, name in enumerate(batch.schema.names)}
            yield [_array(by_name[name], kind) for name, kind in zip(names, types, strict=True)]


def whole(path: Path, names: Sequence[str], types: Sequence[ColumnType]) -> list[Array]:
    """All rows."""
    found = [np.empty(0, object if kind in TEXTUAL else np.float64) for kind in types]
    parts = list(batches(path, names, types))
    return (
        [np.concatenate([empty, *each]) for empty, each in zip(found, zip(*parts, strict=True), strict=True)]
        if parts
        else found
    )


def _array(column: pa.Array, kind: ColumnType) -> Array:
    if kind in TEXTUAL:
        return _texts(column)
    if kind is ColumnType.DATE:
        days = column.cast(pa.date32()).cast(pa.int32())
        return _floats(days) * _DAY_S
    if kind is ColumnType.TIMESTAMP:
        return _floats(column.cast(pa.int64())) / _PER_SECOND[column.type.unit]
    return _floats(column)


def _floats(column: pa.Array) -> Array:
    # Unsafe: a whole number past 2**53 is rounded, as every library below does with it.
    found: Array = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _texts(column: pa.Array) -> Array:
    """Each distinct text once in memory."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    texts = np.array([*column.dictionary.cast(pa.string()).to_pylist(), None], object)
    numbers = pc.fill_null(column.indices.cast(pa.int64()), len(texts) - 1)
    found: Array = texts[numbers.to_numpy(zero_copy_only=False)]
    return found
