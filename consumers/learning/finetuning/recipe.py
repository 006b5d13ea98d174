"""Fine-tuning an encoder to classify texts: AdamW, linear warm-up and decay, clipped gradients, batches by length.

The recipe of BERT (Devlin et al. 2019, appendix A.3), in chunks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from consumers.encoders.layout import read_layout
from consumers.encoders.reading import best_device, moved, new_classifier, read_config, read_tokenizer, refusing
from consumers.encoders.settings import ModelSettings
from consumers.encoders.sources import find_model
from consumers.learning.finetuning.batches import (
    by_length,
    chunk_rows,
    chunks_per_epoch,
    padded,
    shuffled,
    steps_before,
    texts_of,
    tokens_of,
)
from consumers.learning.finetuning.config import FineTuningConfig, Precision
from consumers.learning.finetuning.state import FineTuning, new_optimizer
from consumers.learning.frame import Array, Frame
from consumers.learning.plugins import Problem
from consumers.runtime.verdicts import Reject

_WARM_UP = 0.1  # of the steps
_CLIP = 1.0  # the norm of the gradient
_PREDICTED = 64  # texts in one forward pass


def start(config: FineTuningConfig, problem: Problem) -> FineTuning:
    with _naming("/params/config/base_model"):
        source = find_model(config.base_model, ModelSettings())
        layout = read_layout(source)
        with refusing(source), _random(problem.seed):
            encoder = read_config(source, layout)
            tokenizer = read_tokenizer(layout, encoder, config.max_tokens)
            model = moved(new_classifier(layout, encoder, problem.classes), best_device())
    return FineTuning(config, problem, model, tokenizer, new_optimizer(model, config))


def fit(state: FineTuning, frame: Frame, target: Array) -> float:
    """One chunk more, in place; how much is done, from 0 to 1."""
    config, model, optimizer, rows = state.config, state.model, state.optimizer, frame.rows
    if optimizer is None:
        return 1.0
    chunks = config.epochs * chunks_per_epoch(rows)
    steps = steps_before(rows, chunks, config.batch_size)
    chosen = chunk_rows(rows, state.chunk, state.problem.seed)
    tokens, labels = tokens_of(state.tokenizer, texts_of(frame.take(chosen))), torch.from_numpy(target[chosen])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    model.train()
    with _threads(state.problem.threads):
        for batch in shuffled(by_length(tokens, config.batch_size), state.problem.seed, state.chunk):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * schedule(state.step, steps)
            inputs = padded([tokens[row] for row in batch], model.config.pad_token_id or 0, model.device)
            with _random(state.problem.seed, state.step), _autocast(config.precision, model.device):
                logits = model(**inputs).logits
            loss = cross_entropy(logits.float(), labels[batch].to(model.device))
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(trained, _CLIP)
            optimizer.step()
            optimizer.zero_grad()
            state.step += 1
    model.eval()  # type: ignore[no-untyped-call]

    state.chunk += 1
    if state.chunk == chunks:
        state.optimizer = None
    return state.chunk / chunks


def predict(state: FineTuning, frame: Frame) -> Array:
    """Probabilities, shape [rows, classes]."""
    model, tokens = state.model, tokens_of(state.tokenizer, texts_of(frame))
    probabilities = np.empty((len(tokens), state.problem.classes))
    with torch.inference_mode():
        for batch in by_length(tokens, _PREDICTED):
            inputs = padded([tokens[row] for row in batch], model.config.pad_token_id or 0, model.device)
            probabilities[batch] = model(**inputs).logits.double().softmax(dim=1).cpu().numpy()
    return probabilities


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """A refused model is not the command's `/model` here."""
    try:
        yield
    except Reject as refused:
        _, _, why = refused.detail.partition(": ")
        raise Reject(f"{field}: {why}", type=refused.type, title=refused.title) from refused


@contextmanager
def _random(*seed: int) -> Iterator[None]:
    """Random numbers that follow from `seed` alone, so that they need not be kept."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        yield


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _autocast(precision: Precision, device: torch.device) -> torch.autocast:
    wanted = precision is Precision.BFLOAT16
    if precision is Precision.AUTO and device.type == "cuda":
        wanted = torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def schedule(step: int, steps: int) -> float:
    """Linear up, linear down, never zero: the share of the highest learning rate."""
    warm_up = max(1, round(_WARM_UP * steps))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))
