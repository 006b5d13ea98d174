"""From a directory to a model in memory. Data only: safetensors, JSON, and no code of the model's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from consumers.inference.digest import weights_digest
from consumers.inference.encoder import TransformerEncoder
from consumers.inference.layout import Layout
from consumers.inference.memory import MemoryMeter
from consumers.inference.onednn import held_bytes, use_onednn
from consumers.inference.ports import ModelIdentity
from consumers.inference.refusals import unsupported
from consumers.inference.sources import ModelSource

_WITH_OPTIONAL_POOLER = ("bert", "roberta", "xlm-roberta")  # take add_pooling_layer; the pooler is for classifying
_DATA_ONLY: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}

transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # what it warns of is checked here and refused
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Loaded:
    encoder: TransformerEncoder
    nbytes: int
    """Weights and what came with them, measured."""


def load_encoder(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Blocks for seconds. Not safe beside another load: transformers changes process-wide state while it loads.

    Raises Reject (`model-unsupported`) for what is no complete, readable, known encoder, MemoryError when the device
    is full.
    """
    with _refusing(source):
        config = AutoConfig.from_pretrained(layout.path, **_DATA_ONLY)
        AutoModel._model_mapping[type(config)]  # imports the architecture, which is not the model's memory
        meter = MemoryMeter(device)
        tokenizer = _load_tokenizer(layout, config)
        model = _load_model(source, layout, config, dtype)
    _prepare(model, device)
    identity = ModelIdentity(
        name=source.name,
        sha256=weights_digest(layout.weights),
        dimensions=config.hidden_size,
        dtype=str(dtype).removeprefix("torch."),
        device=str(device),
    )
    encoder = TransformerEncoder(identity, model, tokenizer, layout.pooling, layout.normalize)
    return Loaded(encoder, max(held_bytes(model), meter.growth()))


@contextmanager
def _refusing(source: ModelSource) -> Iterator[None]:
    """Whatever transformers says of files that it cannot read becomes our one refusal."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except (SafetensorError, OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise unsupported(source.name, f"does not load; {type(error).__name__}: {error}"[:1000]) from error


def _load_model(source: ModelSource, layout: Layout, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    if config.is_encoder_decoder:
        raise unsupported(source.name, "is an encoder-decoder; we run encoders")
    pooler = {"add_pooling_layer": False} if config.model_type in _WITH_OPTIONAL_POOLER else {}
    model, report = AutoModel.from_pretrained(
        layout.path,
        config=config,
        dtype=dtype,
        attn_implementation="sdpa",
        use_safetensors=True,
        output_loading_info=True,
        **_DATA_ONLY,
        **pooler,
    )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:  # transformers would go on with random numbers
        raise unsupported(source.name, f"has weights without {', '.join(missing[:3])}; save the whole model")
    loaded: PreTrainedModel = model.eval()
    return loaded


def _load_tokenizer(layout: Layout, config: PreTrainedConfig) -> Tokenizer:
    """The Rust tokenizer alone: unlike its wrapper, it may be used by several threads."""
    wrapper = AutoTokenizer.from_pretrained(layout.path, **_DATA_ONLY)
    tokenizer: Tokenizer = wrapper.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=min(_limits(layout, config, wrapper.model_max_length)))
    return tokenizer


def _limits(layout: Layout, config: PreTrainedConfig, tokenizer_limit: int) -> Iterator[int]:
    yield tokenizer_limit
    if layout.max_tokens is not None:
        yield layout.max_tokens
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None:
        yield positions - (config.pad_token_id + 1 if "roberta" in config.model_type else 0)


def _prepare(model: PreTrainedModel, device: torch.device) -> None:
    """Move to `device` and off the mapped file: overwriting that would change the model, or end the process."""
    if device.type == "cpu" and model.dtype == torch.float32:
        use_onednn(model)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.requires_grad_(False)
        tensor.data = tensor.data.to(device, copy=True)
