"""Records become columns of texts in a temporary Parquet file.

Not in a CSV file: DuckDB's parallel reader loses its place in one with many newlines inside quotes, and it needs more
memory than we allow for one with thousands of columns, of which it can only read all.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from consumers.ingestion.forms import MISSING
from consumers.ingestion.records import Record
from consumers.runtime.duck import literal

_CELLS = 400_000
_ABSENT = frozenset(MISSING)


def stage(records: Iterable[Record], width: int, path: Path) -> str:
    """What DuckDB calls it: a source with the columns c0, c1, ..., and the usual spellings of no value missing."""
    schema = pa.schema([(f"c{at}", pa.string()) for at in range(width)])
    batch_rows = max(1, _CELLS // width)
    records = iter(records)
    with pq.ParquetWriter(path, schema, compression="lz4") as writer:
        while batch := list(islice(records, batch_rows)):
            columns = [_column(cells) for cells in zip(*batch, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return f"read_parquet({literal(str(path))})"


def _column(cells: Iterable[str]) -> pa.Array:
    return pa.array([None if cell in _ABSENT else cell for cell in cells], pa.string())
