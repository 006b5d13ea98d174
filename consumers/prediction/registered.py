"""A registered model, found in the store and loaded from the blob store."""

import hashlib
from pathlib import Path
from typing import Any

from consumers.learning.model import ModelBroken, TrainedModel
from consumers.runtime.verdicts import Reject
from schemas.jobs.model_train import ModelTrained
from schemas.learning import LearningTask

_BROKEN = "The file of this model is not what its training wrote"


def trained(document: dict[str, Any] | None, principal: str, model_id: str, version: str) -> ModelTrained:
    """What a version's document says, for its owner. Raises Reject: there is none, or it is somebody else's."""
    if document is None or document["principal"] != principal:
        detail = f"/params/version: model {model_id} has no version {version}"
        raise Reject(detail, type="not-found", title="There is no such version")
    found = ModelTrained.model_validate(document["trained"])
    if found.task is LearningTask.TOKEN_CLASSIFICATION:
        detail = "it finds entities in texts, which are no prediction for a row; ask it with text.ner"
        raise Reject(f"/params/version: {detail}", type="model-unsupported", title="The model cannot be used")
    return found


def loaded(path: Path, sha256: str) -> TrainedModel:
    """Raises Reject for other bytes than were registered, before any of them is understood."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        detail = f"its bytes have the digest {found}, and {sha256} was registered"
        raise Reject(detail, type="model-broken", title=_BROKEN)
    try:
        return TrainedModel.load(path)
    except ModelBroken as error:
        raise Reject(error.detail, type="model-broken", title=_BROKEN) from None
