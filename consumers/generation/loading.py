"""From files to a language model that writes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

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
_UNLIMITED = 1 << 17  # tokens, of models that name no limit


def load_writer(source: ModelSource, settings: GenerationSettings, device: torch.device) -> Writer:
    """Blocks for seconds. Raises Reject (`model-unsupported`) for what is no complete, readable causal language model
    or does not write here what it writes elsewhere, MemoryError when the device is full."""
    layout = read_layout(source)
    with refusing(source):
        config = _config(source, layout.path)
        dtype = getattr(torch, settings.dtype)
        model = read_causal(source, layout, config, dtype)
        off_the_file(model, device)
        tokenizer: Any = AutoTokenizer.from_pretrained(layout.path, **DATA_ONLY)
        model.set_attn_implementation(ATTENTION)
        shape = _shape(config, dtype, device)
        kept = max(1, settings.cache_bytes // shape.token_bytes)
        context = min(_context(config), kept)
        pass_tokens = settings.pass_tokens or (256 if device.type == "cpu" else 2048)
        limits = Limits(context, pass_tokens, kept, settings.requests)
        _require_equal(source, model, shape, context)
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


def _config(source: ModelSource, path: Path) -> PreTrainedConfig:
    config: PreTrainedConfig = AutoConfig.from_pretrained(path, **DATA_ONLY)
    if config.is_encoder_decoder:
        raise unsupported(source.name, "is an encoder-decoder; text is written by causal language models")
    named = config.architectures or []
    if named and not any(name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for name in named):
        raise unsupported(
            source.name, f"is a {named[0]}; text is written by causal language models, such as LlamaForCausalLM"
        )
    return config


def _shape(config: PreTrainedConfig, dtype: torch.dtype, device: torch.device) -> Shape:
    inner: Any = config.get_text_config()
    heads = inner.num_attention_heads
    width = getattr(inner, "head_dim", None) or inner.hidden_size // heads
    shared = getattr(inner, "num_key_value_heads", None) or heads
    return Shape(inner.num_hidden_layers, shared, width, dtype, device)


def _context(config: PreTrainedConfig) -> int:
    """As far as every layer sees: within its window, sliding attention is attention."""
    inner: Any = config.get_text_config()
    limits = (getattr(inner, name, None) for name in ("max_position_embeddings", "sliding_window"))
    return min((limit for limit in limits if limit), default=_UNLIMITED)


def _ends(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    said = [getattr(model.generation_config, "eos_token_id", None), model.config.eos_token_id, tokenizer.eos_token_id]
    listed = [each if isinstance(each, list) else [each] for each in said]
    return frozenset(token for each in listed for token in each if token is not None)


def _require_equal(source: ModelSource, model: PreTrainedModel, shape: Shape, most: int) -> None:
    """Two texts at once, their prompts read in stretches, must go on as the model itself goes on with each alone.
    Raises Reject."""
    engine = Engine(model, shape, Limits(context=most, pass_tokens=4, kept_tokens=4096, requests=2))
    for prompt in _PROBES:
        engine.add(Request(str(len(prompt)), prompt, _PROBE_TOKENS))
    texts = {str(len(prompt)): list(prompt) for prompt in _PROBES}
    while any(len(text) < int(length) + _PROBE_TOKENS for length, text in texts.items()):
        for length, token in engine.step():
            texts[length].append(token)
    engine.clear()
    model.set_attn_implementation("sdpa")
    for length, text in texts.items():
        _require_likely(source, model, text, int(length))
    model.set_attn_implementation(ATTENTION)


def _require_likely(source: ModelSource, model: PreTrainedModel, text: list[int], prompt: int) -> None:
    ids = torch.tensor([text], device=model.device)
    with torch.inference_mode():
        scores: Tensor = model(input_ids=ids, use_cache=False).logits[0, prompt - 1 : prompt - 1 + _PROBE_TOKENS]
    scores = scores.float()
    chosen = scores.gather(1, ids[0, prompt : prompt + _PROBE_TOKENS, None])[:, 0]
    missed = ((scores.amax(1) - chosen) / (scores.amax(1) - scores.amin(1)).clamp_min(1e-9)).max()
    if float(missed) > _TOLERANCE.get(model.dtype, _NARROW_TOLERANCE):
        raise unsupported(source.name, f"is a {type(model).__name__}, which does not write here as it does elsewhere")
