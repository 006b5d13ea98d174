"""What is kept of a fine-tuning between two chunks, and of a model when it is finished.

A stored zip archive of `config.json`, `tokenizer.json` and `model.safetensors`, as transformers reads them from a
directory, with `training.json` beside them and, until it is finished, the moments of the optimizer.
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
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from consumers.encoders.reading import best_device, moved
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
    model: PreTrainedModel
    """For classification; in float32."""
    tokenizer: Tokenizer
    """Cuts at what the model is trained on."""
    optimizer: AdamW | None
    """None when it is finished."""
    chunk: int = 0
    step: int = 0

    def dump(self) -> bytes:
        training = {
            "config": self.config.model_dump(mode="json"),
            "problem": {**asdict(self.problem), "task": str(self.problem.task)},
            "chunk": self.chunk,
            "step": self.step,
        }
        parts = {
            "config.json": self.model.config.to_json_string(use_diff=False).encode(),
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
    model = _empty(json.loads(parts["config.json"]))
    model.load_state_dict(load(parts["model.safetensors"]))
    moved(model, best_device())
    optimizer = None
    if "optimizer.safetensors" in parts:
        optimizer = new_optimizer(model, config)
        _restore(model, optimizer, load(parts["optimizer.safetensors"]), training["step"])
    tokenizer = Tokenizer.from_str(parts["tokenizer.json"].decode())
    return FineTuning(config, problem, model, tokenizer, optimizer, training["chunk"], training["step"])


def _empty(config: dict[str, Any]) -> PreTrainedModel:
    """Of that architecture, in memory of its own: the weights are copied into it, so that they are aligned as they
    were before, and sums come out the same."""
    made: PreTrainedModel = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.for_model(**config), dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False
    )
    made.eval()  # type: ignore[no-untyped-call]
    return made


def new_optimizer(model: PreTrainedModel, config: FineTuningConfig) -> AdamW:
    """Freezes what the settings say. Biases and the scales of normalisations do not decay, as in BERT."""
    frozen = is_frozen(config.frozen_layers)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen(name))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.learning_rate)


def is_frozen(layers: int) -> Callable[[str], bool]:
    """Whether a parameter belongs to the lowest `layers`, by its name in any of the usual architectures."""

    def frozen(name: str) -> bool:
        layer = re.search(r"\blayers?\.(\d+)\.", name)
        return int(layer[1]) + 1 < layers if layer else "embeddings" in name and layers > 0

    return frozen


def _moments(model: PreTrainedModel, optimizer: AdamW) -> dict[str, Tensor]:
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for moment in _MOMENTS
    }


def _restore(model: PreTrainedModel, optimizer: AdamW, moments: dict[str, Tensor], step: int) -> None:
    for name, parameter in model.named_parameters():
        if f"{_MOMENTS[0]}.{name}" in moments:
            kept = {moment: moments[f"{moment}.{name}"].to(parameter.device, copy=True) for moment in _MOMENTS}
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **kept}
