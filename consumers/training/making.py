"""From the command to the result: the table, the training, and the files that are kept."""

import tempfile
from pathlib import Path

from threadpoolctl import threadpool_limits

from consumers.learning.table import Table, read_table
from consumers.runtime.files import fetched, kept
from consumers.runtime.handler import ChildTask
from consumers.settings import CODE_VERSION
from consumers.tables.lookup import owned_version
from consumers.training.card import model_card_of
from consumers.training.memory import bounded
from consumers.training.report import render
from consumers.training.run import Trained, train
from consumers.training.settings import TrainingSettings
from producers.catalog import model_id_of, model_version_of
from schemas.files import StoredFile
from schemas.jobs.dataset_ingest import DatasetIngested
from schemas.jobs.model_train import ModelTrained, TrainModel
from schemas.learning import Lineage
from schemas.model_card import ModelCard


def made(task: ChildTask[TrainModel]) -> ModelTrained:
    params, settings = task.params, TrainingSettings()
    source = owned_version(task.envelope.principal, params.dataset_id, params.version, pointer="/params/version")
    types = {column.name: column.type for column in source.column_types}
    with (
        tempfile.TemporaryDirectory(prefix="millrace-train-") as scratch,
        bounded(params.memory_mb),
        threadpool_limits(settings.threads),
    ):
        folder = Path(scratch)
        path = fetched(source.table, folder)
        task.progress(0.0, "reading the table")
        table = read_table(path, types, params)
        trained = train(task, table, settings, folder / "model.zip")
        card = _card(task, table, trained, _lineage(task, source))
        (folder / "card.json").write_text(card.model_dump_json())
        (folder / "card.html").write_text(render(card))
        names = {"model": "model.zip", "card": "card.json", "page": "card.html"}
        return _result(card, trained, {part: kept(folder / name) for part, name in names.items()})


def _lineage(task: ChildTask[TrainModel], source: DatasetIngested) -> Lineage:
    params = task.params
    return Lineage(
        dataset_id=params.dataset_id,
        dataset_name=source.name,
        dataset_version=params.version,
        table_sha256=source.table.sha256,
        rows=source.rows,
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
