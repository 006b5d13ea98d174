"""`dataset.ingest`: the same file read in the same way is the same version, and doing it again changes nothing."""

import hashlib
import tempfile
from pathlib import Path

from consumers.ingestion.convert import Hints, Limits, Unreadable, convert
from consumers.runtime.files import fetched, kept
from consumers.runtime.handler import ChildTask, handles_long
from consumers.runtime.verdicts import Reject
from consumers.tables.preview import preview
from producers.catalog import dataset_id_of
from schemas.jobs.dataset_ingest import DATASET_INGEST, DatasetIngested, IngestDataset
from storage.blobs import BlobMissing

READER = 1
"""Counts the ways in which we have read files: a change of it makes a new version of an old file."""


@handles_long(DATASET_INGEST, slots=1)
def ingest(task: ChildTask[IngestDataset]) -> DatasetIngested:
    params = task.params
    with tempfile.TemporaryDirectory(prefix="millrace-ingest-") as scratch:
        try:
            source = fetched(params.file, _folder(scratch, "source"))
            into = _folder(scratch, "table")
            limits = Limits(max_rejected_share=params.max_rejected_share)
            hints = Hints(**dict(params.hints))
            found = convert(source, params.filename, into, hints=hints, limits=limits, progress=task.progress)
        except Unreadable as error:
            raise Reject(str(error), type="unreadable-file", title="The file cannot be read as a table") from None
        except BlobMissing as error:
            raise Reject(f"/params/file: {error}", type="bytes-missing", title="The file is not here") from None
        return DatasetIngested(
            dataset_id=dataset_id_of(task.envelope.principal, params.name),
            name=params.name,
            version=_version(params),
            rows=found.rows,
            columns=len(found.columns),
            sha256=params.file.sha256,
            column_types=found.columns,
            reading=found.reading,
            table=kept(found.parquet),
            preview=kept(preview(found.parquet, found.columns, into / "preview.json")),
            rejected=found.rejected,
            rejects=kept(found.rejects) if found.rejects is not None else None,
            warnings=found.warnings,
        )


def _folder(scratch: str, name: str) -> Path:
    folder = Path(scratch) / name
    folder.mkdir()
    return folder


def _version(params: IngestDataset) -> str:
    read = f"{READER}\n{params.file.sha256}\n{params.hints.model_dump_json()}"
    return hashlib.sha256(read.encode()).hexdigest()[:12]
