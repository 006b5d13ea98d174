"""`dataset.ingest`: an uploaded file becomes a version of a dataset."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.contract import Contract
from schemas.datasets import Column, FileFormat, Reading
from schemas.files import StoredFile
from schemas.kinds import JobKind
from schemas.patterns import Name

DatasetName = Name
FileName = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class ReadingHints(Contract):
    """What the file does not say by itself, or says wrongly. Everything left out is detected."""

    format: FileFormat | None = None
    encoding: Annotated[str, StringConstraints(max_length=40)] | None = None
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    header: bool | None = None
    """Whether the first row names the columns."""
    sheet: Annotated[str, StringConstraints(max_length=100)] | None = None
    """Of an Excel workbook; the first when left out."""


class IngestDataset(Contract, name="dataset.ingest"):
    """Read an uploaded file into a typed, compressed table: a new version of the dataset with this name."""

    name: DatasetName
    file: StoredFile
    """What an upload answered."""
    filename: FileName = "upload"
    """What the file was called; its content decides how it is read."""
    hints: ReadingHints = ReadingHints()
    max_rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The job fails when a larger share of the rows cannot be read."""


class DatasetIngested(Contract, name="dataset.ingested"):
    """A version of a dataset, and how its file was read."""

    dataset_id: str
    name: str
    version: str
    """Follows from the file's bytes and how they were read: the same file twice is the same version."""
    rows: int
    columns: int
    sha256: str
    """Of the uploaded file."""
    column_types: list[Column]
    reading: Reading
    table: StoredFile
    """The rows as Parquet."""
    preview: StoredFile
    """The first rows as JSON."""
    rejected: int
    """Rows that could not be read."""
    rejects: StoredFile | None = None
    """Those rows as Parquet: line, reason, text."""
    warnings: list[str]


DATASET_INGEST = JobKind(IngestDataset, DatasetIngested, max_attempts=3)
