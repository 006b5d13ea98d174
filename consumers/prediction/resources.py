"""What the handlers of one process share: the resident models, and one thread that predicts."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from consumers.learning.model import TrainedModel
from consumers.prediction.answers import answers
from consumers.prediction.batcher import Batcher
from consumers.prediction.registered import loaded, trained
from consumers.prediction.residency import Residency
from consumers.prediction.settings import PredictionSettings
from consumers.runtime.pool import Services
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.jobs.model_predict import MODEL_PREDICT
from schemas.jobs.model_train import ModelTrained
from storage import models
from storage.blob_writers import blob_path
from storage.blobs import BlobMissing, BlobUnavailable
from storage.database import StoreUnavailable
from telemetry.metrics import MODEL_LOAD_SECONDS


class Wanted(NamedTuple):
    model_id: str
    version: str
    principal: str
    """Who asks: nobody else is answered from what was loaded for them."""


class ServedModel:
    """A loaded version with those who wait for it."""

    def __init__(self, found: ModelTrained, model: TrainedModel, executor: Executor) -> None:
        self.name, self.signature = found.name, model.signature
        self.nbytes = found.artifacts["model"].bytes
        self.batcher = Batcher(partial(answers, model), executor, kind=MODEL_PREDICT.name)


class Serving:
    def __init__(self, services: Services, settings: PredictionSettings, executor: Executor) -> None:
        self._services, self._executor = services, executor
        self.models = Residency(self._load, settings.memory_bytes)
        """A version is looked up and loaded once: it never changes."""

    async def _load(self, wanted: Wanted) -> ServedModel:
        """Raises Reject, RetryLater."""
        try:
            document = await models.version(self._services.database, wanted.model_id, wanted.version)
            found = trained(document, wanted.principal, wanted.model_id, wanted.version)
            with tempfile.TemporaryDirectory(prefix="millrace-model-") as scratch:
                stored = found.artifacts["model"]
                blobs = self._services.outbox.blobs
                path = await blobs.file(blob_path(stored.sha256), stored.sha256, Path(scratch))
                with MODEL_LOAD_SECONDS.time():
                    model = await asyncio.to_thread(loaded, path, stored.sha256)
        except BlobMissing as error:
            raise Reject(f"/params/version: {error}", type="bytes-missing", title="The model is not here") from None
        except (StoreUnavailable, BlobUnavailable) as error:
            raise RetryLater(str(error)) from error
        return ServedModel(found, model, self._executor)


@asynccontextmanager
async def open_serving(services: Services, settings: PredictionSettings) -> AsyncIterator[Serving]:
    """Nothing is loaded until the first job asks for it."""
    with ThreadPoolExecutor(1, "prediction") as executor:
        serving = Serving(services, settings, executor)
        try:
            yield serving
        finally:
            await serving.models.close()
