"""From the file of a registered model to one that answers texts."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from consumers.encoders.entities import tags_of
from consumers.encoders.reading import moved
from consumers.encoders.refusals import unsupported
from consumers.inference.loading import ready
from consumers.inference.memory import MemoryMeter
from consumers.inference.network import headed
from consumers.inference.ports import Forwarded, Input, Labels, Loaded, ModelIdentity
from consumers.inference.registered import Registered
from consumers.inference.tokenizing import CharacterReader, TextReader
from consumers.learning.archive import ModelBroken
from consumers.learning.finetuning.state import FineTuning
from consumers.learning.model import TrainedModel
from consumers.learning.registry import trainers
from consumers.learning.rows import frame_of
from schemas.learning import LearningTask

_PREDICT = "ask it with POST /v1/models/.../predict"
_INSTEAD = {
    **dict.fromkeys(LearningTask, _PREDICT),
    LearningTask.TOKEN_CLASSIFICATION: "ask it with text.ner",
}


def load_trained(
    found: Registered, content: bytes, task: LearningTask, device: torch.device, dtype: torch.dtype
) -> Loaded:
    """Blocks, as `loading.load_classifier` does, and like it is not safe beside another load.

    Raises Reject (`model-unsupported`) for a model that has not learned `task` from one column.
    """
    trainers()  # imports their libraries, which are not the model's memory
    meter = MemoryMeter(device)
    model = _read(found, content)
    signature = model.signature
    if signature.task is not task or len(signature.inputs) != 1:
        what = ", ".join(column.name for column in signature.inputs)
        raise unsupported(str(found), f"is for {signature.task} and takes {what}; {_INSTEAD[signature.task]}")
    classes = signature.classes or []
    labels = Labels(tags_of(classes) if task is LearningTask.TOKEN_CLASSIFICATION else classes)
    states = [member.state for member in model.members]
    if len(states) == 1 and isinstance(states[0], FineTuning):
        moved(states[0].model.body, dtype)
        states[0].model.head.to(device)
        reader = TextReader(states[0].tokenizer, located=task is LearningTask.TOKEN_CLASSIFICATION)
        return ready(str(found), found.file.sha256, headed(states[0].model), reader, device, meter, labels)
    if task is LearningTask.TOKEN_CLASSIFICATION:
        raise unsupported(str(found), "is no single encoder, and no other finds entities here")
    identity = ModelIdentity(str(found), found.file.sha256, dtype="float32", device="cpu")
    return Loaded(PredictingEncoder(identity, model), CharacterReader(), meter.growth(), labels)


class PredictingEncoder:
    """Implements `ports.Encoder` for a model that is no single encoder: its logits are the logarithms of
    probabilities. Members that read tokens cut for themselves, which nobody counts."""

    padded = False
    vocabulary = 128
    blank: int | None = None

    def __init__(self, identity: ModelIdentity, model: TrainedModel) -> None:
        self.identity = identity
        self._model, self._column = model, model.signature.inputs[0].name

    def forward(self, batch: Sequence[Input]) -> Forwarded:
        rows = [{self._column: "".join(map(chr, one.ids))} for one in batch]
        probabilities = np.asarray(self._model.predict(frame_of(rows, self._model.signature)).probabilities)
        floor = np.finfo(np.float32).tiny  # what is impossible has no logarithm
        return Forwarded(np.log(np.maximum(probabilities, floor)).astype(np.float32), sum(map(len, batch)))


def _read(found: Registered, content: bytes) -> TrainedModel:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        file.write_bytes(content)
        try:
            return TrainedModel.load(file)
        except ModelBroken as broken:
            raise unsupported(str(found), f"does not load: {broken.detail}") from broken
