"""What a forward pass computes: an encoder's states pooled and scaled, or the logits of texts or of their tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any, cast

from torch import Tensor
from torch.nn.functional import normalize
from transformers import PreTrainedModel

from consumers.encoders.headed import Headed
from consumers.encoders.layout import Layout, Pooling
from consumers.encoders.pooling import pool


@dataclass(frozen=True)
class Halves:
    """A model in two halves, so that the first can do without padding."""

    body: PreTrainedModel
    pooling: Pooling | None
    """None when the head answers for each token."""
    head: Callable[[Tensor], Tensor]
    """States, float32 `[..., hidden]`, to `[..., outputs]`."""

    def __call__(self, ids: Tensor, mask: Tensor, **segments: Tensor) -> Tensor:
        states = self.body(input_ids=ids, attention_mask=mask.long(), **segments).last_hidden_state
        return self.head(pool(states, mask, self.pooling))


@dataclass(frozen=True)
class Network:
    model: PreTrainedModel
    whole: Callable[..., Tensor]
    """Ids and mask, and `token_type_ids` where there are segments, all `[n, length]`, to float32 `[n, outputs]`, or
    `[n, length, outputs]`."""
    halves: Halves | None
    """The same in halves, for architectures whose head is known here."""
    of_tokens: bool = False
    """It answers for each token."""

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
    return Network(model.body, halves, halves, of_tokens=model.pooling is None)


def classifier(model: PreTrainedModel) -> Network:
    """Logits, as transformers computes them: the first token's state through the model's own head."""
    head = _HEADS.get(model.config.model_type)
    if head is None:
        return Network(model, partial(_logits, model), None)
    body = cast(PreTrainedModel, model.base_model)
    return Network(model, partial(_logits, model), Halves(body, "cls", partial(head, model)))


def tagger(model: PreTrainedModel) -> Network:
    """Logits of each token, as transformers computes them."""
    halves = None
    if model.config.model_type in _HEADS:
        halves = Halves(cast(PreTrainedModel, model.base_model), None, partial(_tags, model))
    return Network(model, partial(_logits, model), halves, of_tokens=True)


def _logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, **segments: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=ids, attention_mask=mask.long(), **segments).logits
    return logits.float()


def _tags(model: Any, states: Tensor) -> Tensor:
    logits: Tensor = model.classifier(states.to(model.dtype))
    return logits.float()


def _bert(model: Any, pooled: Tensor) -> Tensor:
    logits: Tensor = model.classifier(model.base_model.pooler(pooled.to(model.dtype).unsqueeze(1)))
    return logits.float()


def _roberta(model: Any, pooled: Tensor) -> Tensor:
    logits: Tensor = model.classifier(pooled.to(model.dtype).unsqueeze(1))
    return logits.float()


_HEADS = {"bert": _bert, "roberta": _roberta, "xlm-roberta": _roberta}
"""By architecture. The models' own modules take states `[n, tokens, hidden]` and look at the first token's."""
