"""Small language models with random weights, and a tokenizer that was trained on a page of text."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from tests.support.encoders import paragraphs

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
VOCABULARY = 600


def tokenizer(chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    plain.train_from_iterator(paragraphs(), trainer)
    make: Any = PreTrainedTokenizerFast
    made: PreTrainedTokenizerFast = make(tokenizer_object=plain, eos_token="<|end|>", pad_token="<|end|>")
    made.chat_template = chat_template
    return made


def tiny_llama(**options: Any) -> PreTrainedModel:
    """As scattered in what it says as a trained one: with the usual start it says one token for ever."""
    torch.manual_seed(0)
    usual: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "eos_token_id": 0,
        "bos_token_id": 0,
        "pad_token_id": 0,
    }
    config = LlamaConfig(**{**usual, **options})
    make: Any = LlamaForCausalLM
    made: PreTrainedModel = make(config).eval()
    return made


def save(
    model: PreTrainedModel, path: Path, chat_template: str | None = CHAT_TEMPLATE, *, endless: bool = False
) -> Path:
    """An endless one never ends a text by itself."""
    made = tokenizer(chat_template)
    if endless:
        made.eos_token = model.generation_config.eos_token_id = model.config.eos_token_id = None
    model.save_pretrained(path)
    made.save_pretrained(path)
    return path
