"""Parquet files of ours, as DuckDB must read them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def parquet_writer(path: Path, schema: pa.Schema, compression: str = "zstd") -> pq.ParquetWriter:
    """Without statistics of floating-point columns: Arrow's leave NaN out, and DuckDB 2.0 believes that they cover
    every value. Where the others are all equal, `isnan(x)` finds no row and grouping by a hash fails."""
    covered = [
        field.name for field in schema if not (pa.types.is_floating(field.type) or pa.types.is_nested(field.type))
    ]
    return pq.ParquetWriter(path, schema, compression=compression, write_statistics=covered)
