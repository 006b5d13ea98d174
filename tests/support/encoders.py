"""Small encoders with random weights, the bundled one, and real texts for them."""

import asyncio
import asyncio.base_events
import inspect
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
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
    return made(make, config)


def tiny_roberta(make: Any = RobertaModel, **options: Any) -> PreTrainedModel:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    config = RobertaConfig(vocab_size=30522, pad_token_id=0, max_position_embeddings=66, **sizes, **options)
    return made(make, config)


def tiny_distilbert(make: Any = DistilBertModel, **options: Any) -> PreTrainedModel:
    return made(make, DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **options))


def save_roberta(make: Any, path: Path, **options: Any) -> Path:
    """A small one with a tokenizer of bytes of its own, trained on the paragraphs."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(paragraphs(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token=AddedToken("<mask>", lstrip=True), model_max_length=128,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(path)  # fmt: skip
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), intermediate_size=64, max_position_embeddings=130, type_vocab_size=1,
        **sizes, **options,
    )  # fmt: skip
    made(make, config).save_pretrained(path)
    return path


def made(make: Any, config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    made: PreTrainedModel = make(config)
    return made


def save(model: PreTrainedModel, path: Path) -> Path:
    """A plain checkpoint with the bundled model's tokenizer."""
    model.save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(BUNDLED / name, path / name)
    return path
