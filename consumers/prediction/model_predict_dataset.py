"""`model.predict-dataset`: the same model and the same table make the same version, and doing it again changes
nothing."""

import asyncio
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from consumers.prediction.registered import loaded, trained
from consumers.prediction.table import predict_table
from consumers.runtime.files import fetched, kept
from consumers.runtime.handler import ChildTask, handles_long
from consumers.runtime.verdicts import Reject, RetryLater
from consumers.tables.lookup import owned_version
from consumers.tables.preview import preview
from producers.catalog import dataset_id_of
from schemas.datasets import FileFormat, Reading
from schemas.files import StoredFile
from schemas.jobs.dataset_ingest import DatasetIngested
from schemas.jobs.model_predict_dataset import MODEL_PREDICT_DATASET, DatasetPredicted, PredictDataset
from storage import models
from storage.blobs import BlobMissing
from storage.database import StoreUnavailable, connect
from storage.settings import StorageSettings

WRITER = 1
"""Counts the ways in which we have written predictions: a change of it makes new versions."""


@handles_long(MODEL_PREDICT_DATASET, slots=1)
def predict_dataset(task: ChildTask[PredictDataset]) -> DatasetPredicted:
    """Raises Reject for a model or a dataset that cannot be used."""
    params, principal = task.params, task.envelope.principal
    model = trained(_registered(params), principal, params.model_id, params.version)
    pointer = "/params/dataset_version"
    source = owned_version(principal, params.dataset_id, params.dataset_version, pointer=pointer)
    with tempfile.TemporaryDirectory(prefix="millrace-predict-") as scratch:
        folder = Path(scratch)
        stored = model.artifacts["model"]
        predictor = loaded(_fetched("/params/version", stored, folder), stored.sha256)
        table = _fetched(pointer, source.table, folder)
        into = folder / "predicted.parquet"
        written = predict_table(predictor, table, source.column_types, into, task.progress)
        file = kept(into)
        predicted = DatasetIngested(
            dataset_id=dataset_id_of(principal, params.name),
            name=params.name,
            version=_version(params, source),
            rows=written.rows,
            columns=len(written.columns),
            sha256=file.sha256,
            column_types=written.columns,
            reading=Reading(format=FileFormat.PARQUET),
            table=file,
            preview=kept(preview(into, written.columns, folder / "preview.json")),
            rejected=0,
            warnings=written.warnings,
        )
    return DatasetPredicted(model_id=params.model_id, version=params.version, rows=written.rows, predicted=predicted)


def _registered(params: PredictDataset) -> dict[str, Any] | None:
    """What the store has of the model's version. Raises RetryLater."""

    async def look() -> dict[str, Any] | None:
        async with connect(StorageSettings()) as database:
            return await models.version(database, params.model_id, params.version)

    try:
        return asyncio.run(look())
    except StoreUnavailable as error:
        raise RetryLater(str(error)) from error


def _fetched(pointer: str, stored: StoredFile, folder: Path) -> Path:
    try:
        return fetched(stored, folder)
    except BlobMissing as error:
        raise Reject(f"{pointer}: {error}", type="bytes-missing", title="The file is not here") from None


def _version(params: PredictDataset, source: DatasetIngested) -> str:
    made_of = f"{WRITER}\n{params.model_id}\n{params.version}\n{source.table.sha256}"
    return hashlib.sha256(made_of.encode()).hexdigest()[:12]
