"""What each reader is given, and what it owes."""

from dataclasses import dataclass
from pathlib import Path

from consumers.ingestion.conversion import Hints, Limits
from consumers.ingestion.duck import Duck
from consumers.ingestion.inference import Relation
from consumers.ingestion.rejects import Rejects
from schemas.datasets import Reading

Read = tuple[Relation, Reading]
"""The table as it was written, and how the file was understood."""


@dataclass(frozen=True)
class Work:
    """A file to be read, and the table to be written. Temporary files go beside the table."""

    path: Path
    parquet: Path
    duck: Duck
    rejects: Rejects
    hints: Hints
    limits: Limits

    def beside(self, name: str) -> Path:
        return self.parquet.with_name(name)
