"""A job of one principal cannot use the dataset of another, whatever ids it was given."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumers.prediction.model_predict_dataset import predict_dataset
from consumers.profiling.dataset_profile import profile_dataset
from consumers.runtime.handler import ChildTask, Handler
from consumers.runtime.verdicts import Reject
from consumers.training.model_train import train_model
from producers.catalog import dataset_id_of
from schemas.jobs.dataset_profile import ProfileDataset
from schemas.jobs.model_predict_dataset import PredictDataset
from schemas.jobs.model_train import TrainModel
from storage import datasets, models
from storage.blobs import BlobMissing
from storage.database import connect
from tests.conftest import Deployment
from tests.support import wire

EXAMPLES = Path(__file__).parents[1] / "contract" / "examples"
OWNER = "ada"


def example(name: str) -> dict[str, Any]:
    return dict(json.loads((EXAMPLES / f"{name}.json").read_text())["body"])


INGESTED = example("dataset.ingested.1") | {"dataset_id": dataset_id_of(OWNER, "iris")}
TRAINED = example("model.trained.1")
DATASET, VERSION = INGESTED["dataset_id"], INGESTED["version"]
MODEL = {"model_id": TRAINED["model_id"], "version": TRAINED["version"]}

# What is asked of each handler, and the parameter that names the dataset's version.
ASKED: dict[str, tuple[Handler, Any, str]] = {
    "profile": (profile_dataset, ProfileDataset(dataset_id=DATASET, version=VERSION), "version"),
    "train": (
        train_model,
        TrainModel(name="m", dataset_id=DATASET, version=VERSION, target="species", memory_mb=2**20),
        "version",
    ),
    "predict": (
        predict_dataset,
        PredictDataset(**MODEL, dataset_id=DATASET, dataset_version=VERSION, name="predicted"),
        "dataset_version",
    ),
}


@pytest.mark.parametrize("name", ASKED)
async def test_anothers_dataset_is_not_there_and_ones_own_is(deployment: Deployment, name: str) -> None:
    handler, params, pointer = ASKED[name]
    at = datetime.now(UTC)

    async def run(principal: str) -> None:
        async with connect(deployment.storage) as database:
            await models.add_version(database, TRAINED, job_id="j", principal=principal, at=at)
        envelope = wire.command(type(params), principal=principal)
        await asyncio.to_thread(handler.run, ChildTask(params, envelope, lambda *_: None, lambda _: None, None))

    async with connect(deployment.storage) as database:
        await datasets.add_version(database, INGESTED, job_id="j", principal=OWNER, at=at)
    with pytest.raises((BlobMissing, Reject), match="no blob at"):  # nobody has put its bytes there
        await run(OWNER)
    async with connect(deployment.storage) as database:
        await database["model_versions"].delete_many({})
    with pytest.raises(Reject, match=f"^/params/{pointer}: dataset {DATASET} has no version {VERSION}$") as refused:
        await run("grace")
    assert refused.value.type == "not-found"
