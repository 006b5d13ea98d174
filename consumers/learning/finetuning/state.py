"""What is kept of a fine-tuning between two chunks, and of a model when it is finished.

A stored zip archive: the encoder's `config.json` and `tokenizer.json` as transformers has them, the weights of
encoder and head in `model.safetensors`, `training.json`, and, until it is finished, the moments of the optimizer.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor
from torch.optim import AdamW
from transformers import AutoConfig, AutoModel, PreTrainedModel

from consumers.encoders.headed import Headed
from consumers.encoders.reading import best_device, without_pooler
from consumers.learning import archive
from consumers.learning.archive import ModelBroken
from consumers.learning.finetuning.config import FineTuningConfig
from consumers.learning.plugins import Problem
from schemas.learning import LearningTask

_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class FineTuning:
    config: FineTuningConfig
    problem: Problem
    model: Headed
    """In float32."""
    tokenizer: Tokenizer
    """Cuts at what the model is trained on."""
    optimizer: AdamW | None
    """None when it is finished."""
    chunk: int = 0
    step: int = 0

    @property
    def pad_id(self) -> int:
        return self.model.body.config.pad_token_id or 0

    @property
    def device(self) -> torch.device:
        return self.model.body.device

    def dump(self) -> bytes:
        training = {
            "config": self.config.model_dump(mode="json"),
            "problem": {**asdict(self.problem), "task": str(self.problem.task)},
            "chunk": self.chunk,
            "step": self.step,
            "pooling": self.model.pooling,
        }
        parts = {
            "config.json": self.model.body.config.to_json_string(use_diff=False).encode(),
            "tokenizer.json": self.tokenizer.to_str().encode(),
            "model.safetensors": save(self.model.state_dict()),
            "training.json": json.dumps(training).encode(),
        }
        if self.optimizer is not None:
            parts["optimizer.safetensors"] = save(_moments(self.model, self.optimizer))
        content = io.BytesIO()
        archive.write(parts, content, zipfile.ZIP_STORED)
        return content.getvalue()


def loaded(content: bytes) -> FineTuning:
    """What `dump` gave. Raises ModelBroken, MemoryError."""
    parts = archive.read(io.BytesIO(content))
    try:
        return _restored(parts)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # the tokenizer's library raises nothing narrower
        raise ModelBroken(f"it does not load; {type(error).__name__}: {error}"[:1000]) from error


def _restored(parts: dict[str, bytes]) -> FineTuning:
    training = json.loads(parts["training.json"])
    config = FineTuningConfig.model_validate(training["config"])
    problem = Problem(**{**training["problem"], "task": LearningTask(training["problem"]["task"])})
    body = _empty(json.loads(parts["config.json"]))
    model = Headed(body, training["pooling"], outputs(problem)).eval()
    model.load_state_dict(load(parts["model.safetensors"]))
    model.to(best_device())
    optimizer = None
    if "optimizer.safetensors" in parts:
        optimizer = new_optimizer(model, config)
        _restore(model, optimizer, load(parts["optimizer.safetensors"]), training["step"])
    tokenizer = Tokenizer.from_str(parts["tokenizer.json"].decode())
    return FineTuning(config, problem, model, tokenizer, optimizer, training["chunk"], training["step"])


def _empty(config: dict[str, Any]) -> PreTrainedModel:
    """Of that architecture, in memory of its own: the weights are copied into it, so that they are aligned as they
    were before, and sums come out the same."""
    known = AutoConfig.for_model(**config)
    made: PreTrainedModel = AutoModel.from_config(  # type: ignore[no-untyped-call]
        known, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False, **without_pooler(known)
    )
    return made


def outputs(problem: Problem) -> int:
    """Of the head: one for each class, or one for each tag."""
    return 2 * problem.classes + 1 if problem.task is LearningTask.TOKEN_CLASSIFICATION else problem.classes


def new_optimizer(model: Headed, config: FineTuningConfig) -> AdamW:
    """Freezes what the settings say. Biases and the scales of normalisations do not decay, as in BERT. `highest` is
    each group's own learning rate."""
    frozen = is_frozen(config.frozen_layers)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen(name))
    groups = [
        {"params": [each for each in trained if (each.ndim > 1) is decays], "weight_decay": decay, "highest": rate}
        for trained, rate in (
            ([each for each in model.body.parameters() if each.requires_grad], config.learning_rate),
            (list(model.head.parameters()), config.head_learning_rate),
        )
        for decays, decay in ((True, config.weight_decay), (False, 0.0))
    ]
    return AdamW([group for group in groups if group["params"]], lr=config.learning_rate)


def is_frozen(layers: int) -> Callable[[str], bool]:
    """Whether a parameter belongs to the lowest `layers`, by its name in any of the usual architectures."""

    def frozen(name: str) -> bool:
        layer = re.search(r"\blayers?\.(\d+)\.", name)
        return int(layer[1]) + 1 < layers if layer else "embeddings" in name and layers > 0

    return frozen


def _moments(model: Headed, optimizer: AdamW) -> dict[str, Tensor]:
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for moment in _MOMENTS
    }


def _restore(model: Headed, optimizer: AdamW, moments: dict[str, Tensor], step: int) -> None:
    for name, parameter in model.named_parameters():
        if f"{_MOMENTS[0]}.{name}" in moments:
            kept = {moment: moments[f"{moment}.{name}"].to(parameter.device, copy=True) for moment in _MOMENTS}
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **kept}
