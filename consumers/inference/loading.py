"""From files to a model that is ready to run."""

import torch
from tokenizers import Tokenizer
from transformers import AutoModel, PreTrainedConfig

from consumers.encoders.digest import weights_digest
from consumers.encoders.layout import Layout
from consumers.encoders.reading import (
    off_the_file,
    read_classifier,
    read_config,
    read_encoder,
    read_tagger,
    read_tokenizer,
    refusing,
)
from consumers.encoders.refusals import unsupported
from consumers.encoders.sources import ModelSource
from consumers.inference.encoder import TransformerEncoder
from consumers.inference.memory import MemoryMeter
from consumers.inference.network import Network, classifier, embedder, tagger
from consumers.inference.onednn import held_bytes, use_onednn
from consumers.inference.ports import Labels, Loaded, ModelIdentity
from consumers.inference.tokenizing import TextReader


def load_embedder(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Blocks for seconds. Not safe beside another load: transformers changes process-wide state while it loads.

    Raises Reject (`model-unsupported`) for what is no complete, readable, known encoder, MemoryError when the device
    is full.
    """
    with refusing(source):
        config = _known(source, layout)
        meter = MemoryMeter(device)
        tokenizer = read_tokenizer(layout, config)
        network = embedder(read_encoder(source, layout, config, dtype), layout)
    return ready(source.name, weights_digest(layout.weights), network, tokenizer, device, meter)


def load_classifier(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """As `load_embedder`, of an encoder with a head for classifying."""
    with refusing(source):
        config = _known(source, layout)
        labels = _labels(source, config)
        meter = MemoryMeter(device)
        tokenizer = read_tokenizer(layout, config)
        network = classifier(read_classifier(source, layout, config, dtype))
    return ready(source.name, weights_digest(layout.weights), network, tokenizer, device, meter, labels)


def load_tagger(source: ModelSource, layout: Layout, device: torch.device, dtype: torch.dtype) -> Loaded:
    """As `load_embedder`, of an encoder with a head for classifying tokens."""
    with refusing(source):
        config = _known(source, layout)
        names = Labels([name for _, name in sorted((config.id2label or {}).items())])
        meter = MemoryMeter(device)
        tokenizer = read_tokenizer(layout, config)
        network = tagger(read_tagger(source, layout, config, dtype))
    return ready(source.name, weights_digest(layout.weights), network, tokenizer, device, meter, names)


def ready(
    name: str,
    sha256: str,
    network: Network,
    tokenizer: Tokenizer,
    device: torch.device,
    meter: MemoryMeter,
    labels: Labels = Labels(),  # noqa: B008  # frozen
) -> Loaded:
    """On its device and tried once. `meter` has counted since before there was anything of the model."""
    _prepare(network, device)
    dtype = str(network.model.dtype).removeprefix("torch.")
    encoder = TransformerEncoder(ModelIdentity(name, sha256, dtype, str(device)), network)
    reader = TextReader(tokenizer, located=network.of_tokens)
    return Loaded(encoder, reader, max(held_bytes(network.model), meter.growth()), labels)


def _known(source: ModelSource, layout: Layout) -> PreTrainedConfig:
    config = read_config(source, layout)
    AutoModel._model_mapping[type(config)]  # imports the architecture, which is not the model's memory
    return config


def _labels(source: ModelSource, config: PreTrainedConfig) -> Labels:
    names = [name for _, name in sorted((config.id2label or {}).items())]
    if len(names) < 2 or config.problem_type == "regression":
        raise unsupported(source.name, "gives a number and no label; we run classifiers of two labels or more")
    return Labels(names, independent=config.problem_type == "multi_label_classification")


def _prepare(network: Network, device: torch.device) -> None:
    model = network.model
    if device.type == "cpu" and model.dtype == torch.float32:
        use_onednn(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    off_the_file(model, device)
