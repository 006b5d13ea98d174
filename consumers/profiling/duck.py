"""DuckDB as profiling uses it: many aggregates, fused into few scans."""

import tempfile
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pyarrow as pa

from consumers.runtime.duck import BoundedDuck

_FUSED = 100
"""Aggregates in one query. Hundreds of them cost little more than one scan, and their states are small."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Limits:
    memory_limit_mb: int = 256
    """Of DuckDB, beyond which it spills. Python and the sample take some 150 MB more."""
    threads: int = 2
    scratch: Path | None = None
    """Where spilled data goes; by default the system's folder for temporary files."""
    exact_rows: int = 500_000
    """Up to so many rows, or distinct values of a column, everything is exact but for what is about pairs of columns.
    Beyond it what would not fit into memory is estimated, with a standard error."""
    sample_rows: int = 50_000
    """Rows that correlations, shapes and meanings are looked up in, and quantiles where exact ones would not fit."""


class Duck(BoundedDuck):
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._spill = tempfile.TemporaryDirectory(prefix="millrace-duckdb-", dir=limits.scratch)
        super().__init__(
            Path(self._spill.name),
            memory_limit_mb=limits.memory_limit_mb,
            threads=limits.threads,
            settings=("parquet_metadata_cache = true",),
        )

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        super().__exit__(_type, _error, _at)
        self._spill.cleanup()

    @property
    def memory_bytes(self) -> int:
        return self.limits.memory_limit_mb * 1_000_000

    def execute(self, sql: str) -> None:
        self.call(lambda connection: connection.execute(sql))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.call(lambda connection: connection.execute(sql).fetchall())

    def table(self, sql: str) -> pa.Table:
        return self.call(lambda connection: connection.sql(sql).to_arrow_table())

    def gather(self, relation: str, wanted: Mapping[Key, str]) -> dict[Key, Any]:
        """Evaluate many aggregates over one relation, fused into few scans."""
        remaining = iter(wanted.items())
        found: dict[Key, Any] = {}
        while chunk := dict(islice(remaining, _FUSED)):
            (row,) = self.rows(select(chunk.values(), relation))
            found.update(zip(chunk, row, strict=True))
        return found


def select(columns: Iterable[str], relation: str, rest: str = "") -> str:
    """What `relation` says is safe: names of columns and the path are quoted in `source`, and nowhere else."""
    return f"SELECT {', '.join(columns)} FROM {relation} {rest}"  # noqa: S608
