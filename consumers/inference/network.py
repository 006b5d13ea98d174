"""What a forward pass computes: an encoder's states pooled and scaled, or a classifier's logits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from torch import Tensor
from torch.nn.functional import normalize
from transformers import PreTrainedModel

from consumers.encoders.layout import Layout, Pooling
from consumers.inference.pooling import pool


@dataclass(frozen=True)
class Halves:
    """A model in two halves, so that the first can do without padding."""

    body: PreTrainedModel
    pooling: Pooling
    head: Callable[[Tensor], Tensor]
    """Pooled states, float32 `[n, hidden]`, to `[n, outputs]`."""

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.body(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return self.head(pool(states, mask, self.pooling))


@dataclass(frozen=True)
class Network:
    model: PreTrainedModel
    whole: Callable[[Tensor, Tensor], Tensor]
    """Ids and mask, both `[n, length]`, to float32 `[n, outputs]`."""
    halves: Halves | None
    """The same in halves, for architectures whose head is known here."""


def embedder(model: PreTrainedModel, layout: Layout) -> Network:
    halves = Halves(model, layout.pooling, normalize if layout.normalize else Tensor.float)
    return Network(model, halves, halves)


def classifier(model: PreTrainedModel) -> Network:
    """Logits, as transformers computes them: the first token's state through the model's own head."""

    def whole(ids: Tensor, mask: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=ids, attention_mask=mask.long()).logits
        return logits.float()

    head = _HEADS.get(model.config.model_type)
    if head is None:
        return Network(model, whole, None)
    body = cast(PreTrainedModel, model.base_model)
    return Network(model, whole, Halves(body, "cls", partial(head, model)))


def _bert(model: Any, pooled: Tensor) -> Tensor:
    logits: Tensor = model.classifier(model.base_model.pooler(pooled.to(model.dtype).unsqueeze(1)))
    return logits.float()


def _roberta(model: Any, pooled: Tensor) -> Tensor:
    logits: Tensor = model.classifier(pooled.to(model.dtype).unsqueeze(1))
    return logits.float()


_HEADS = {"bert": _bert, "roberta": _roberta, "xlm-roberta": _roberta}
"""By architecture. The models' own modules take states `[n, tokens, hidden]` and look at the first token's."""
