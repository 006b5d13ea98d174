"""From files to a language model that writes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from consumers.encoders.digest import weights_digest
from consumers.encoders.layout import read_layout
from consumers.encoders.reading import DATA_ONLY, off_the_file, read_causal, refusing
from consumers.encoders.refusals import unsupported
from consumers.encoders.sources import ModelSource
from consumers.generation.attention import ATTENTION
from consumers.generation.engine import Engine, Limits, Request
from consumers.generation.settings import GenerationSettings
from consumers.generation.slots import Shape
from consumers.generation.writer import Writer
from schemas.generation import LanguageModel

_PROBES = ([3, 4, 5, 6, 7, 8, 9], [5, 3])
_PROBE_TOKENS = 3
_TOLERANCE = {torch.float32: 1e-4}  # of the range of scores; rounding of narrower types exceeds it
_NARROW_TOLERANCE = 5e-2


def load_writer(source: ModelSource, settings: GenerationSettings, device: torch.device) -> Writer:
    """Blocks for seconds. Raises Reject (`model-unsupported`) for what is no complete, readable causal language model
    or does not write here what it writes elsewhere, MemoryError when the device is full."""
    layout = read_layout(source)
    with refusing(source):
        config = _config(source, layout.path)
        dtype = getattr(torch, settings.dtype)
        model = read_causal(source, layout, config, dtype)
        off_the_file(model, device)
        tokenizer = AutoTokenizer.from_pretrained(layout.path, **DATA_ONLY)
        expected = _scorer(model)
        model.set_attn_implementation(ATTENTION)
        shape = _shape(config, dtype, device)
        kept = max(1, settings.cache_bytes // shape.token_bytes)
        context = min(_context(config), kept)
        pass_tokens = settings.pass_tokens or (256 if device.type == "cpu" else 2048)
        limits = Limits(context, pass_tokens, kept, settings.requests)
        _require_equal(source, model, shape, expected)
    identity = LanguageModel(
        name=source.name,
        sha256=weights_digest(layout.weights),
        context=context,
        dtype=settings.dtype,
        device=str(device),
    )
    nbytes = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    ends = _ends(model, tokenizer)
    return Writer(identity, Engine(model, shape, limits), tokenizer, tokenizer.backend_tokenizer, ends, nbytes)
