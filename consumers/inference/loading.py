"""From files to a model that is ready to run.

A `load_...` blocks for seconds, and is not safe beside another: transformers changes process-wide state while it
loads. It raises Reject (`model-unsupported`) for what is no complete, readable model with the head that is needed,
MemoryError when the device is full.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from consumers.encoders.digest import weights_digest
from consumers.encoders.layout import Layout
from consumers.encoders.reading import (
    off_the_file,
    read_answerer,
    read_classifier,
    read_config,
    read_encoder,
    read_filler,
    read_mask,
    read_tagger,
    read_tokenizer,
    refusing,
)
from consumers.encoders.refusals import unsupported
from consumers.encoders.sources import ModelSource
from consumers.inference.blanks import BlankReader
from consumers.inference.encoder import TransformerEncoder
from consumers.inference.entailment import entailment
from consumers.inference.filling import FILLERS
from consumers.inference.memory import MemoryMeter
from consumers.inference.network import Network, answerer, classifier, embedder, filler, tagger
from consumers.inference.onednn import held_bytes, use_onednn
from consumers.inference.ports import Labels, Loaded, ModelIdentity
from consumers.inference.tokenizing import PairReader, TextReader


def load_embedder(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """The encoder alone."""
    return _loaded(source, layout, device, dtype, read_encoder, partial(embedder, layout=layout), _texts)


def load_classifier(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """An encoder with a head for classifying."""
    return _loaded(source, layout, device, dtype, read_classifier, classifier, _texts, _classes)


def load_entailment(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """A classifier of pairs, one of whose labels is for entailment."""
    return _loaded(source, layout, device, dtype, read_classifier, classifier, _pairs, _of_entailment)


def load_tagger(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """An encoder with a head for classifying tokens."""
    return _loaded(source, layout, device, dtype, read_tagger, tagger, _located_texts, _tags)


def load_answerer(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """An encoder with a head for answering questions."""
    return _loaded(source, layout, device, dtype, read_answerer, answerer, _pairs)


def load_filler(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """An encoder with a head for filling blanks."""
    with refusing(source):
        mask = read_mask(layout)
    if mask is None:
        raise unsupported(source.name, "has a tokenizer without a token for blanks; take a masked language model")

    def reader(tokenizer: Tokenizer, _network: Network) -> BlankReader:
        return BlankReader(tokenizer, mask)

    return _loaded(source, layout, device, dtype, read_filler, partial(filler, blank=mask.token), reader, _fills)


def ready(
    name: str,
    sha256: str,
    network: Network,
    reader: Any,
    device: torch.device,
    meter: MemoryMeter,
    labels: Labels,
) -> Loaded:
    """On its device and tried once. `meter` has counted since before there was anything of the model."""
    _prepare(network, device)
    dtype = str(network.model.dtype).removeprefix("torch.")
    encoder = TransformerEncoder(ModelIdentity(name, sha256, dtype, str(device)), network)
    return Loaded(encoder, reader, max(held_bytes(network.model), meter.growth()), labels)


def _no_labels(_source: ModelSource, _config: PreTrainedConfig) -> Labels:
    return Labels()


def _loaded(
    source: ModelSource,
    layout: Layout,
    device: torch.device,
    dtype: torch.dtype,
    weights: Callable[[ModelSource, Layout, PreTrainedConfig, torch.dtype], PreTrainedModel],
    network: Callable[[PreTrainedModel], Network],
    reader: Callable[[Tokenizer, Network], Any],
    labels: Callable[[ModelSource, PreTrainedConfig], Labels] = _no_labels,
) -> Loaded:
    """`labels` refuses a model that is another by what its config says, before its weights are read."""
    with refusing(source):
        config = _known(source, layout)
        known = labels(source, config)
        meter = MemoryMeter(device)
        tokenizer = read_tokenizer(layout, config)
        made = network(weights(source, layout, config, dtype))
        read = reader(tokenizer, made)
    return ready(source.name, weights_digest(layout.weights), made, read, device, meter, known)


def _known(source: ModelSource, layout: Layout) -> PreTrainedConfig:
    config = read_config(source, layout)
    AutoModel._model_mapping[type(config)]  # imports the architecture, which is not the model's memory
    return config


def _texts(tokenizer: Tokenizer, _network: Network) -> TextReader:
    return TextReader(tokenizer)


def _located_texts(tokenizer: Tokenizer, _network: Network) -> TextReader:
    return TextReader(tokenizer, located=True)


def _pairs(tokenizer: Tokenizer, network: Network) -> PairReader:
    return PairReader(tokenizer, segments=network.reads_segments)


def _tags(_source: ModelSource, config: PreTrainedConfig) -> Labels:
    return Labels([name for _, name in sorted((config.id2label or {}).items())])


def _classes(source: ModelSource, config: PreTrainedConfig) -> Labels:
    names = _tags(source, config).names
    if len(names) < 2 or config.problem_type == "regression":
        raise unsupported(source.name, "gives a number and no label; we run classifiers of two labels or more")
    return Labels(names, independent=config.problem_type == "multi_label_classification")


def _of_entailment(source: ModelSource, config: PreTrainedConfig) -> Labels:
    labels = _tags(source, config)
    try:
        entailment(labels.names)
    except LookupError as error:
        raise unsupported(source.name, f"{error}; take a model of natural language inference") from None
    return labels


def _fills(source: ModelSource, config: PreTrainedConfig) -> Labels:
    if config.model_type not in FILLERS:
        raise unsupported(source.name, f"is a {config.model_type}; blanks are filled by {', '.join(FILLERS)}")
    return Labels()


def _prepare(network: Network, device: torch.device) -> None:
    model = network.model
    if device.type == "cpu":
        use_onednn(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    off_the_file(model, device)
