"""From the command to the result: the table, the training, and the files that are kept."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from consumers.learning.table import Table, read_table
from consumers.runtime.files import fetched, kept
from consumers.runtime.handler import ChildTask
from consumers.runtime.verdicts import Reject, RetryLater
from consumers.settings import CODE_VERSION
from consumers.training.card import model_card_of
from consumers.training.memory import bounded
from consumers.training.report import render
from consumers.training.run import Trained, train
from consumers.training.settings import TrainingSettings
from producers.catalog import model_id_of, model_version_of
from schemas.datasets import ColumnType
from schemas.files import StoredFile
from schemas.jobs.model_train import ModelTrained, TrainModel
from schemas.learning import Lineage
from schemas.model_card import ModelCard
from storage import datasets
from storage.database import StoreUnavailable, connect
from storage.settings import StorageSettings


def made(task: ChildTask[TrainModel]) -> ModelTrained:
    params, settings = task.params, TrainingSettings()
    ingested = _ingested(params)
    types = {column["name"]: ColumnType(column["type"]) for column in ingested["column_types"]}
    with (
        tempfile.TemporaryDirectory(prefix="millrace-train-") as scratch,
        bounded(params.memory_mb),
        threadpool_limits(settings.threads),
    ):
        folder = Path(scratch)
        path = fetched(StoredFile.model_validate(ingested["table"]), folder)
        task.progress(0.0, "reading the table")
        table = read_table(path, types, params)
        trained = train(task, table, settings, folder / "model.zip")
        card = _card(task, table, trained, _lineage(task, ingested))
        (folder / "card.json").write_text(card.model_dump_json())
        (folder / "card.html").write_text(render(card))
        names = {"model": "model.zip", "card": "card.json", "page": "card.html"}
        return _result(card, trained, {part: kept(folder / name) for part, name in names.items()})


def _ingested(params: TrainModel) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        async with connect(StorageSettings()) as database:
            return await datasets.version(database, params.dataset_id, params.version)

    try:
        found = asyncio.run(look())
    except StoreUnavailable as error:
        raise RetryLater(str(error)) from error
    if found is None:
        detail = f"/params/version: dataset {params.dataset_id} has no version {params.version}"
        raise Reject(detail, type="not-found", title="There is no such version")
    return found


def _lineage(task: ChildTask[TrainModel], ingested: dict[str, Any]) -> Lineage:
    params = task.params
    return Lineage(
        dataset_id=params.dataset_id,
        dataset_name=ingested["name"],
        dataset_version=params.version,
        table_sha256=ingested["table"]["sha256"],
        rows=ingested["rows"],
        job_id=task.envelope.job_id,
        code_version=CODE_VERSION,
        seed=params.seed,
    )


def _card(task: ChildTask[TrainModel], table: Table, trained: Trained, origin: Lineage) -> ModelCard:
    return model_card_of(
        trained,
        task.params,
        table.signature,
        origin,
        model_id=model_id_of(task.envelope.principal, task.params.name),
        version=model_version_of(task.envelope.job_id, task.envelope.generation),
        noticed=table.warnings,
    )


def _result(card: ModelCard, trained: Trained, artifacts: dict[str, StoredFile]) -> ModelTrained:
    return ModelTrained(
        model_id=card.model_id,
        name=card.name,
        version=card.version,
        task=card.task,
        metric=card.metric,
        metrics={each.name: each.value for each in card.metrics},
        baseline={each.name: each.baseline for each in card.metrics},
        estimated_by=card.estimated_by,
        best_trainer=trained.state.trials[next(iter(trained.weights))].trainer,
        trials=len(card.trials),
        signature=card.signature,
        origin=card.origin,
        artifacts=artifacts,
        warnings=card.warnings,
    )
