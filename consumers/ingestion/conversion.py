"""What a conversion is asked, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.datasets import Column, FileFormat, Reading

Progress = Callable[[float, str], None]
"""Is told the share that is done, and a message."""


@dataclass(frozen=True)
class Hints:
    """What the user knows better than we would guess; the rest is detected."""

    format: FileFormat | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Limits:
    max_rejected_share: float = 0.05
    max_columns: int = 10_000
    max_uncompressed_bytes: int = 64 * 2**30
    max_ratio: float = 200.0
    """Of unpacked to packed bytes. Real tables come to 50 or so, and a bomb of deflate to 1,032."""
    memory_limit_mb: int = 256
    threads: int = 2


@dataclass(frozen=True)
class Converted:
    parquet: Path
    rejects: Path | None
    """Parquet: line, reason and text of each row that could not be read. None where all could."""
    rows: int
    rejected: int
    columns: list[Column]
    reading: Reading
    warnings: list[str]


class Unreadable(Exception):
    """The file cannot become a table. `detail` says what is wrong, where, and what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
