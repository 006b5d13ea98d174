"""From a directory to a model in memory. Data only: safetensors, JSON, and no code of the model's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from consumers.encoders.layout import Layout, Mask
from consumers.encoders.refusals import unsupported
from consumers.encoders.sources import ModelSource

_WITH_OPTIONAL_POOLER = ("bert", "roberta", "xlm-roberta")  # take add_pooling_layer; the pooler is for classifying
DATA_ONLY: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}

transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # what it warns of is checked here and refused
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def refusing(source: ModelSource) -> Iterator[None]:
    """Whatever transformers says of files that it cannot read becomes our one refusal."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except (SafetensorError, OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise unsupported(source.name, f"does not load; {type(error).__name__}: {error}"[:1000]) from error


def read_config(source: ModelSource, layout: Layout) -> PreTrainedConfig:
    config: PreTrainedConfig = AutoConfig.from_pretrained(layout.path, **DATA_ONLY)
    if config.is_encoder_decoder:
        raise unsupported(source.name, "is an encoder-decoder; we run encoders")
    return config


def read_encoder(
    source: ModelSource, layout: Layout, config: PreTrainedConfig, dtype: torch.dtype
) -> PreTrainedModel:
    """The encoder alone, in evaluation mode."""
    model, report = AutoModel.from_pretrained(layout.path, **_how(config, dtype), **without_pooler(config))
    return _complete(source, model, {key for key in report["missing_keys"] if not key.startswith("pooler.")})


def read_classifier(
    source: ModelSource, layout: Layout, config: PreTrainedConfig, dtype: torch.dtype
) -> PreTrainedModel:
    """An encoder with its head for classifying, in evaluation mode."""
    model, report = AutoModelForSequenceClassification.from_pretrained(layout.path, **_how(config, dtype))
    return _complete(source, model, report["missing_keys"])


def read_tagger(source: ModelSource, layout: Layout, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """An encoder with its head for classifying tokens, in evaluation mode."""
    model, report = AutoModelForTokenClassification.from_pretrained(layout.path, **_how(config, dtype))
    return _complete(source, model, report["missing_keys"])


def read_causal(source: ModelSource, layout: Layout, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """A model that says the next token, in evaluation mode."""
    made: Any = AutoModelForCausalLM.from_pretrained(layout.path, **_how(config, dtype))
    model, report = made
    return _complete(source, model, report["missing_keys"])


def read_answerer(
    source: ModelSource, layout: Layout, config: PreTrainedConfig, dtype: torch.dtype
) -> PreTrainedModel:
    """An encoder with its head for answering questions, in evaluation mode."""
    model, report = AutoModelForQuestionAnswering.from_pretrained(layout.path, **_how(config, dtype))
    return _complete(source, model, report["missing_keys"])


def read_filler(source: ModelSource, layout: Layout, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """An encoder with its head for filling blanks, in evaluation mode."""
    model, report = AutoModelForMaskedLM.from_pretrained(layout.path, **_how(config, dtype))
    return _complete(source, model, report["missing_keys"])


def without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """As an argument of the encoder's class."""
    return {"add_pooling_layer": False} if config.model_type in _WITH_OPTIONAL_POOLER else {}


def off_the_file(model: nn.Module, device: torch.device | None = None) -> None:
    """In memory of its own: overwriting a mapped file would change the model, or end the process."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.to(device, copy=True)


def moved(model: PreTrainedModel, to: torch.device | torch.dtype) -> PreTrainedModel:
    """In place."""
    nn.Module.to(model, to)  # transformers' own `to` has lost its types
    return model


def best_device() -> torch.device:
    """A GPU when there is one."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def read_tokenizer(layout: Layout, config: PreTrainedConfig, most: int | None = None) -> Tokenizer:
    """The Rust tokenizer alone: unlike its wrapper, it may be used by several threads. Cuts at what the model reads,
    or at `most` tokens when those are fewer."""
    wrapper = AutoTokenizer.from_pretrained(layout.path, **DATA_ONLY)
    tokenizer: Tokenizer = wrapper.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=min(_limits(layout, config, wrapper.model_max_length, most)))
    return tokenizer


def read_mask(layout: Layout) -> Mask | None:
    """None when the tokenizer has none."""
    wrapper = AutoTokenizer.from_pretrained(layout.path, **DATA_ONLY)
    return None if wrapper.mask_token is None else Mask(wrapper.mask_token, wrapper.mask_token_id)


def _how(config: PreTrainedConfig, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "config": config,
        "dtype": dtype,
        "use_safetensors": True,
        "output_loading_info": True,
        **DATA_ONLY,
    }


def _complete(source: ModelSource, model: PreTrainedModel, missing: set[str]) -> PreTrainedModel:
    if missing:  # transformers would go on with random numbers
        some = ", ".join(sorted(missing)[:3])
        raise unsupported(source.name, f"has weights without {some}; save the whole model")
    whole: PreTrainedModel = model.eval()  # type: ignore[no-untyped-call]
    return whole


def _limits(layout: Layout, config: PreTrainedConfig, tokenizer_limit: int, most: int | None) -> Iterator[int]:
    yield tokenizer_limit
    if layout.max_tokens is not None:
        yield layout.max_tokens
    if most is not None:
        yield most
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None:
        yield positions - (config.pad_token_id + 1 if "roberta" in config.model_type else 0)
