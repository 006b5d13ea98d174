"""Small models that were really trained, and their results as a training would publish them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_diabetes, load_iris

from consumers.learning.features import Features, choices
from consumers.learning.model import Member, TrainedModel
from consumers.learning.plugins import Problem
from consumers.learning.registry import trainers
from consumers.learning.rows import typical_row
from consumers.learning.table import read_table
from messaging.publisher import open_publisher
from producers.catalog import dataset_id_of, model_id_of, model_version_of
from producers.outbox import Outbox
from schemas.datasets import ColumnType
from schemas.files import StoredFile
from schemas.jobs.model_train import ModelTrained, TrainModel
from schemas.learning import Lineage
from schemas.lifecycle import JobSucceeded
from schemas.model_card import MetricValue, ModelCard, Trial
from storage.blobs import BlobStore
from tests.conftest import Deployment
from tests.support import wire

OPERATOR = "operator"
IRIS_NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
IRIS_TYPES = {**dict.fromkeys(IRIS_NAMES, ColumnType.FLOAT), "species": ColumnType.CATEGORY}


def iris() -> pa.Table:
    found = load_iris()
    species = [str(found.target_names[number]) for number in found.target]
    columns = {name: found.data[:, at] for at, name in enumerate(IRIS_NAMES)}
    return pa.table({**columns, "species": species})


def iris_csv() -> str:
    rows = zip(*(column.to_pylist() for column in iris().columns), strict=True)
    return "\n".join([",".join(IRIS_TYPES), *(",".join(map(str, row)) for row in rows)]) + "\n"


def diabetes() -> tuple[pa.Table, dict[str, ColumnType]]:
    found = load_diabetes(scaled=False)
    columns = {name: found.data[:, at] for at, name in enumerate(found.feature_names)}
    table = pa.table({**columns, "progression": found.target})
    return table, dict.fromkeys(table.column_names, ColumnType.FLOAT)


def train(
    folder: Path,
    table: pa.Table,
    types: dict[str, ColumnType],
    target: str,
    trainer: str = "hist-gradient-boosting",
    **config: Any,
) -> TrainedModel:
    """One trainer, on all rows."""
    path = folder / "table.parquet"
    pq.write_table(table, path)
    params = TrainModel(name="m", dataset_id="0" * 32, version="0" * 12, target=target)
    found = read_table(path, types, params)
    signature = found.signature
    problem = Problem(signature.task, len(signature.classes or ()), seed=0, threads=1)
    plugin = trainers()[trainer]
    features, matrix = Features.fitted(
        found.frame, found.target, signature.inputs, choices(signature.inputs), plugin.encoding, problem
    )
    state, fraction = plugin.start(plugin.config(**config), problem), 0.0
    while fraction < 1:
        fitted = plugin.fit(state, matrix, found.target)
        state, fraction = fitted.state, fitted.fraction
    return TrainedModel(signature, [Member(trainer, state, features, 1.0)], typical_row(found.frame, signature))


async def register(
    deployment: Deployment,
    model: TrainedModel,
    folder: Path,
    *,
    name: str = "iris",
    principal: str = OPERATOR,
    accuracy: float = 0.9,
    params: dict[str, Any] | None = None,
    dataset: Sequence[str] = ("iris", "3f2a9c0b1d4e"),
) -> ModelTrained:
    """Tell of a training that made `model`."""
    envelope = wire.command(TrainModel, principal=principal)
    version = model_version_of(envelope.job_id, 0)
    origin = Lineage(
        dataset_id=dataset_id_of(principal, dataset[0]),
        dataset_name=dataset[0],
        dataset_version=dataset[1],
        table_sha256="0" * 64,
        rows=150,
        job_id=envelope.job_id,
        code_version="test",
        seed=0,
    )
    card = ModelCard(
        model_id=model_id_of(principal, name),
        name=name,
        version=version,
        created_at=datetime.now(UTC),
        seconds=1.5,
        task=model.signature.task,
        metric="accuracy",
        estimated_by="holdout",
        evaluated_rows=30,
        metrics=[MetricValue(name="accuracy", value=accuracy, baseline=0.33, greater_is_better=True)],
        signature=model.signature,
        origin=origin,
        params={"trainer": "auto", "budget_s": 10.0, **(params or {})},
        trials=[Trial(number=0, trainer="hist-gradient-boosting", config={}, score=accuracy, seconds=1, weight=1)],
        importances=[],
        warnings=[],
    )
    blobs = BlobStore(deployment.storage.blobs)
    path = folder / f"{version}.zip"
    model.save(path)
    files = {
        "model": path.read_bytes(),
        "card": card.model_dump_json().encode(),
        "page": b"<title>the card</title>",
    }
    artifacts = {}
    for part, content in files.items():
        _, sha256 = await blobs.put(content)
        artifacts[part] = StoredFile(sha256=sha256, bytes=len(content))
    trained = ModelTrained(
        **{field: getattr(card, field) for field in ("model_id", "name", "version", "task", "metric", "signature")},
        metrics={"accuracy": accuracy},
        baseline={"accuracy": 0.33},
        estimated_by="holdout",
        best_trainer="hist-gradient-boosting",
        trials=1,
        origin=origin,
        artifacts=artifacts,
        warnings=[],
    )
    result = json.loads(trained.model_dump_json())
    succeeded = JobSucceeded(started_at=None, finished_at=datetime.now(UTC), result=result)
    async with open_publisher(deployment.broker, "test") as publisher:
        await Outbox(publisher, blobs).tell(envelope.event(succeeded, source="test"), succeeded)
    return trained
