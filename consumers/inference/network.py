"""What a forward pass computes: an encoder's pooled states, or what a head says of texts or of their tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import PreTrainedModel

from consumers.encoders.headed import Headed
from consumers.encoders.layout import Layout, Pooling
from consumers.encoders.pooling import pool
from consumers.inference.filling import candidates, vocabulary_head
from consumers.inference.ports import Input


@dataclass(frozen=True)
class Halves:
    """A model in two halves: so the first can do without padding, and the second sees only what it answers for."""

    body: PreTrainedModel
    pooling: Pooling | None
    """None when the head answers for tokens."""
    head: Callable[[Tensor], Tensor]
    """States, float32 `[..., hidden]`, to float32 `[..., outputs]`."""
    blank: int | None = None
    """The tokens with this id are the only ones that the head answers for, with candidates to fill them."""

    def __call__(self, batch: Sequence[Input], ids: Tensor, mask: Tensor, **segments: Tensor) -> list[Tensor]:
        states = self.body(input_ids=ids, attention_mask=mask.long(), **segments).last_hidden_state
        if self.pooling:
            return self.answers(pool(states, mask, self.pooling), batch)
        return self.answers(states[mask if self.blank is None else ids == self.blank].float(), batch)

    def answers(self, states: Tensor, batch: Sequence[Input]) -> list[Tensor]:
        """For each input what the head says, on the CPU, from its `states`, which stand in the order of `batch`."""
        counts = [self._count(one) for one in batch]
        if self.blank is not None:
            return candidates(self.head, states, counts, batch)
        said = torch.split(self.head(states).cpu(), counts)
        return [each[0] for each in said] if self.pooling else list(said)

    def _count(self, one: Input) -> int:
        if self.pooling:
            return 1
        return len(one) if self.blank is None else list(one.ids).count(self.blank)


@dataclass(frozen=True)
class Network:
    model: PreTrainedModel
    whole: Callable[..., list[Tensor]]
    """A batch with its ids and mask, and `token_type_ids` where there are segments, all `[n, length]`, to what the
    model says of each input, float32 on the CPU."""
    halves: Halves | None
    """The same in halves, for architectures whose head is known here."""

    @property
    def reads_segments(self) -> bool:
        """Whether the model makes a difference between the two texts of a pair."""
        takes = signature(self.model.forward).parameters
        return "token_type_ids" in takes and getattr(self.model.config, "type_vocab_size", 0) > 1


def embedder(model: PreTrainedModel, layout: Layout) -> Network:
    halves = Halves(model, layout.pooling, normalize if layout.normalize else Tensor.float)
    return Network(model, halves, halves)


def headed(model: Headed) -> Network:
    """Logits of a model that we trained."""
    for parameter in model.head.parameters():
        parameter.requires_grad_(False)
    halves = Halves(model.body, model.pooling, model.head)
    return Network(model.body, halves, halves)


def classifier(model: PreTrainedModel) -> Network:
    """Logits, as transformers computes them: the first token's state through the model's own head."""
    head = _HEADS.get(model.config.model_type)
    return Network(model, partial(_of_texts, model), head and Halves(_body(model), "cls", partial(head, model)))


def tagger(model: PreTrainedModel) -> Network:
    """Logits of each token, as transformers computes them."""
    known = model.config.model_type in _HEADS
    halves = Halves(_body(model), None, partial(_linear, model, "classifier")) if known else None
    return Network(model, partial(_of_tokens, model), halves)


def answerer(model: PreTrainedModel) -> Network:
    """Two logits of each token, as transformers computes them: that an answer begins and that it ends there."""
    known = model.config.model_type in _HEADS
    halves = Halves(_body(model), None, partial(_linear, model, "qa_outputs")) if known else None
    return Network(model, partial(_of_spans, model), halves)


def filler(model: PreTrainedModel, blank: int) -> Network:
    """Candidates for each token with the id `blank`. The head must be known, since a whole model computes the
    vocabulary for every token."""
    halves = Halves(_body(model), None, vocabulary_head(model), blank)
    return Network(model, halves, halves)


def _body(model: PreTrainedModel) -> PreTrainedModel:
    return cast(PreTrainedModel, model.base_model)


def _of_texts(model: PreTrainedModel, _batch: Sequence[Input], **arrays: Tensor) -> list[Tensor]:
    return list(_said(model, **arrays).logits.float().cpu())


def _of_tokens(model: PreTrainedModel, batch: Sequence[Input], **arrays: Tensor) -> list[Tensor]:
    return _without_padding(_said(model, **arrays).logits, batch)


def _of_spans(model: PreTrainedModel, batch: Sequence[Input], **arrays: Tensor) -> list[Tensor]:
    said = _said(model, **arrays)
    return _without_padding(torch.stack([said.start_logits, said.end_logits], dim=-1), batch)


def _said(model: PreTrainedModel, ids: Tensor, mask: Tensor, **segments: Tensor) -> Any:
    return model(input_ids=ids, attention_mask=mask.long(), **segments)


def _without_padding(logits: Tensor, batch: Sequence[Input]) -> list[Tensor]:
    return [each[: len(one)] for each, one in zip(logits.float().cpu(), batch, strict=True)]


def _linear(model: Any, name: str, states: Tensor) -> Tensor:
    logits: Tensor = getattr(model, name)(states.to(model.dtype))
    return logits.float()


def _bert(model: Any, pooled: Tensor) -> Tensor:
    logits: Tensor = model.classifier(model.base_model.pooler(pooled.to(model.dtype).unsqueeze(1)))
    return logits.float()


def _roberta(model: Any, pooled: Tensor) -> Tensor:
    logits: Tensor = model.classifier(pooled.to(model.dtype).unsqueeze(1))
    return logits.float()


_HEADS = {"bert": _bert, "roberta": _roberta, "xlm-roberta": _roberta}
"""By architecture. The models' own modules take states `[n, tokens, hidden]` and look at the first token's."""
