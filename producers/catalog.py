"""What of a job's result goes into the catalog of datasets and models, or counts as the use of a task."""

from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas.jobs.dataset_ingest import DATASET_INGEST
from schemas.jobs.dataset_profile import DATASET_PROFILE
from schemas.jobs.model_predict_dataset import MODEL_PREDICT_DATASET
from schemas.jobs.model_train import MODEL_TRAIN
from schemas.jobs.task_run import TASK_RUN
from schemas.kinds import kind_named
from storage import datasets, models, tasks
from storage.database import Database

CATALOGED = frozenset(
    {DATASET_INGEST.name, DATASET_PROFILE.name, MODEL_TRAIN.name, MODEL_PREDICT_DATASET.name, TASK_RUN.name}
)


def dataset_id_of(principal: str, name: str) -> str:
    """A name means one dataset per owner, wherever it is said first."""
    return uuid5(NAMESPACE_URL, f"urn:millrace:dataset:{principal}\n{name}").hex


def profile_id_of(dataset_id: str, version: str, target: str | None) -> str:
    return uuid5(NAMESPACE_URL, f"urn:millrace:profile:{dataset_id}.{version}\n{target or ''}").hex


def model_id_of(principal: str, name: str) -> str:
    """A name means one model per owner, like a dataset's."""
    return uuid5(NAMESPACE_URL, f"urn:millrace:model:{principal}\n{name}").hex


def model_version_of(job_id: str, generation: int) -> str:
    """A training makes one version, however often it ran; its replay by an operator makes another."""
    return sha256(f"{job_id}.{generation}".encode()).hexdigest()[:12]


async def catalog(
    database: Database, kind: str, result: dict[str, Any], *, job_id: str, principal: str, at: datetime
) -> None:
    """Add what a succeeded job made. Doing so again changes nothing. Raises ValueError for a result that fits no
    contract or no document, StoreUnavailable."""
    kind_named(kind).result.model_validate(result)
    origin: Any = {"job_id": job_id, "principal": principal, "at": at}
    match kind:
        case DATASET_INGEST.name:
            await datasets.add_version(database, result, **origin)
        case MODEL_PREDICT_DATASET.name:
            await datasets.add_version(database, result["predicted"], **origin)
        case MODEL_TRAIN.name:
            await models.add_version(database, result, **origin)
        case DATASET_PROFILE.name:
            await datasets.add_profile(database, result, job_id=job_id, at=at)
        case TASK_RUN.name:
            await tasks.note_use(database, result, job_id=job_id, at=at)
