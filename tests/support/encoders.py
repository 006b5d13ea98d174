"""Small encoders with random weights, the bundled one, and real texts for them."""

import asyncio
import asyncio.base_events
import inspect
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from consumers.encoders.settings import ModelSettings
from consumers.encoders.sources import find_model
from schemas.texts import DEFAULT_MODEL

BUNDLED = find_model(DEFAULT_MODEL, ModelSettings()).path


def paragraphs() -> list[str]:
    """Real prose of very different lengths: the docstrings of the standard library's asyncio and torch.nn."""
    members = [*vars(asyncio).values(), *vars(asyncio.base_events.BaseEventLoop).values(), *vars(torch.nn).values()]
    return sorted({inspect.getdoc(member) or "nothing" for member in members if callable(member)})[:60]


def tiny_bert(make: Any = BertModel, **options: Any) -> PreTrainedModel:
    """`make` is the class: the encoder alone, or with a head."""
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, **options)
    return _made(make, config)


def tiny_roberta(make: Any = RobertaModel, **options: Any) -> PreTrainedModel:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    config = RobertaConfig(vocab_size=30522, pad_token_id=0, max_position_embeddings=66, **sizes, **options)
    return _made(make, config)


def tiny_distilbert(make: Any = DistilBertModel, **options: Any) -> PreTrainedModel:
    return _made(make, DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **options))


def _made(make: Any, config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    made: PreTrainedModel = make(config)
    return made


def save(model: PreTrainedModel, path: Path) -> Path:
    """A plain checkpoint with the bundled model's tokenizer."""
    model.save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(BUNDLED / name, path / name)
    return path
