"""Fine-tuning an encoder on texts: AdamW, linear warm-up and decay, clipped gradients, batches by length.

The recipe of BERT (Devlin et al. 2019, appendix A.3), in chunks, with a head that pools as the encoder does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from tokenizers import Encoding
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from consumers.encoders.entities import entities, pieces, tags_of
from consumers.encoders.headed import Headed
from consumers.encoders.layout import read_layout
from consumers.encoders.reading import (
    best_device,
    off_the_file,
    read_config,
    read_encoder,
    read_tokenizer,
    refusing,
)
from consumers.encoders.settings import ModelSettings
from consumers.encoders.sources import find_model
from consumers.encoders.threads import threads
from consumers.learning import spans
from consumers.learning.finetuning.batches import (
    by_length,
    chunk_rows,
    chunks_per_epoch,
    padded,
    shuffled,
    steps_before,
    texts_of,
)
from consumers.learning.finetuning.config import FineTuningConfig, Precision
from consumers.learning.finetuning.state import FineTuning, new_optimizer, outputs
from consumers.learning.frame import Array, Frame
from consumers.learning.plugins import Fitted, Problem
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_ner import Aggregation
from schemas.learning import LearningTask

_WARM_UP = 0.1  # of the steps
_CLIP = 1.0  # the norm of the gradient
_PREDICTED = 64  # texts in one forward pass
_NOTHING = -100  # the label of tokens that nothing is learned from


def start(config: FineTuningConfig, problem: Problem) -> FineTuning:
    with _naming("/params/config/base_model"):
        source = find_model(config.base_model, ModelSettings())
        layout = read_layout(source)
        with refusing(source), _random(problem.seed):
            encoder = read_config(source, layout)
            tokenizer = read_tokenizer(layout, encoder, config.max_tokens)
            body = read_encoder(source, layout, encoder, torch.float32)
            body.config.name_or_path = ""  # not where it was
            off_the_file(body)
            pooling = None if _of_tokens(problem) else layout.pooling
            model = Headed(body, pooling, outputs(problem)).eval().to(best_device())
    return FineTuning(config, problem, model, tokenizer, new_optimizer(model, config))


def fit(state: FineTuning, frame: Frame, target: Array) -> Fitted[FineTuning]:
    """One chunk more, in place."""
    config, model, optimizer, rows = state.config, state.model, state.optimizer, frame.rows
    if optimizer is None:
        return Fitted(state, 1.0)
    chunks = config.epochs_for(rows) * chunks_per_epoch(rows)
    steps = steps_before(rows, chunks, config.batch_size)
    chosen = chunk_rows(rows, state.chunk, state.problem.seed)
    encoded = state.tokenizer.encode_batch(texts_of(frame.take(chosen)))
    tokens, labels = [each.ids for each in encoded], _labels(state.problem, encoded, target[chosen])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    model.train()
    with threads(state.problem.threads):
        for batch in shuffled(by_length(tokens, config.batch_size), state.problem.seed, state.chunk):
            for group in optimizer.param_groups:
                group["lr"] = group["highest"] * schedule(state.step, steps)
            inputs = padded([tokens[row] for row in batch], state.pad_id, state.device)
            with _random(state.problem.seed, state.step), _autocast(config.precision, state.device):
                logits = model(**inputs)
            wanted = _side_by_side([labels[row] for row in batch], inputs["input_ids"].shape[1], logits)
            loss = cross_entropy(logits.flatten(0, -2), wanted.flatten(), ignore_index=_NOTHING)
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(trained, _CLIP)
            optimizer.step()
            optimizer.zero_grad()
            state.step += 1
    model.eval()

    state.chunk += 1
    if state.chunk == chunks:
        state.optimizer = None
    return Fitted(state, state.chunk / chunks, worth_judging=state.chunk % chunks_per_epoch(rows) == 0)


def predict(state: FineTuning, frame: Frame) -> Array:
    """Probabilities of classes, shape [rows, classes]; of tokens, entities as `consumers.learning.spans` has them."""
    texts = texts_of(frame)
    encoded = state.tokenizer.encode_batch(texts)
    found: list[Array] = [np.empty(0)] * len(texts)
    with torch.inference_mode():
        for batch in by_length([each.ids for each in encoded], _PREDICTED):
            inputs = padded([encoded[row].ids for row in batch], state.pad_id, state.device)
            said = state.model(**inputs).double().softmax(dim=-1).cpu().numpy()
            for row, each in zip(batch, said, strict=True):
                found[row] = each
    if not _of_tokens(state.problem):
        return np.array(found).reshape(len(texts), state.problem.classes)
    return spans.predicted(
        (_entities(state, *each) for each in zip(texts, encoded, found, strict=True)),
        len(texts),
        state.config.max_tokens,
    )


def _entities(state: FineTuning, text: str, encoded: Encoding, probabilities: Array) -> list[spans.Scored]:
    """Labels by their numbers."""
    where = pieces(state.tokenizer, text, encoded)
    tags = tags_of(range(state.problem.classes))
    found = entities(probabilities[: len(where)], where, tags, Aggregation.SIMPLE)
    return [(each.start, each.end, int(each.label), each.score) for each in found]


def _of_tokens(problem: Problem) -> bool:
    return problem.task is LearningTask.TOKEN_CLASSIFICATION


def _labels(problem: Problem, encoded: Sequence[Encoding], target: Array) -> list[Array]:
    """Per text its class, or the tag of each token."""
    if not _of_tokens(problem):
        return list(target)
    return [_tags(each, rows) for each, rows in zip(encoded, target, strict=True)]


def _tags(encoded: Encoding, wanted: Array) -> Array:
    """By number, in the order of `tags_of`: every token that has to do with an entity is tagged."""
    starts, ends = np.array(encoded.offsets).reshape(-1, 2).T
    found = np.zeros(len(starts), np.int64)
    for start, end, label in wanted[wanted[:, 0] >= 0]:
        inside = np.flatnonzero((starts < end) & (ends > start))
        found[inside] = 2 * label + 2
        found[inside[:1]] = 2 * label + 1
    found[np.array(encoded.special_tokens_mask) == 1] = _NOTHING
    return found


def _side_by_side(labels: Sequence[Array], width: int, logits: Tensor) -> Tensor:
    """As the logits have them: one per text, or one per token."""
    if logits.ndim == 2:
        return torch.from_numpy(np.array(labels, np.int64)).to(logits.device)
    found = np.full((len(labels), width), _NOTHING)
    for row, each in enumerate(labels):
        found[row, : len(each)] = each
    return torch.from_numpy(found).to(logits.device)


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


def _autocast(precision: Precision, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=is_narrow(precision, device))


def is_narrow(precision: Precision, device: torch.device) -> bool:
    """Whether matrix products are made in bfloat16."""
    if precision is Precision.AUTO:
        # Where it is emulated, which PyTorch calls supported too, it is slower than float32.
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision is Precision.BFLOAT16


def schedule(step: int, steps: int) -> float:
    """Linear up, linear down, never zero: the share of the highest learning rate."""
    warm_up = max(1, round(_WARM_UP * steps))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))
