"""From the states of blanks to the tokens that may fill them.

A vocabulary is a hundred times as wide as a state, so only blanks see it, some at a time, and only the likeliest
tokens of each leave the forward pass.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from consumers.inference.ports import Input
from schemas.jobs.text_fill_mask import MAX_CANDIDATES

_BLANKS_AT_ONCE = 64  # of a vocabulary of 250,000 tokens, 64 MB
FILLERS = {
    "albert": ("predictions",),
    "bert": ("cls",),
    "camembert": ("lm_head",),
    "distilbert": ("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
    "electra": ("generator_predictions", "generator_lm_head"),
    "modernbert": ("head", "decoder"),
    "mpnet": ("lm_head",),
    "roberta": ("lm_head",),
    "xlm-roberta": ("lm_head",),
}
"""By architecture, the modules of a masked language model that follow its body, in their order."""


def vocabulary_head(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """From states to float32 logits `[..., vocabulary]`, by the model's own head."""
    return partial(_through, model, FILLERS[model.config.model_type])


def candidates(
    head: Callable[[Tensor], Tensor], states: Tensor, counts: Sequence[int], batch: Sequence[Input]
) -> list[Tensor]:
    """For each input float32 `[blanks, 2, candidates]` on the CPU: tokens, and the logarithms of their probabilities.

    They are the input's `choices` in that order, or the likeliest tokens. `counts` says how many of the `states`
    `[blanks, hidden]` are of each input.
    """
    choices = [one.choices for one, count in zip(batch, counts, strict=True) for _ in range(count)]
    rows: list[Tensor] = []
    for start in range(0, len(states), _BLANKS_AT_ONCE):
        chunk = slice(start, start + _BLANKS_AT_ONCE)
        rows.extend(_judged(head(states[chunk]).log_softmax(dim=-1), choices[chunk]))
    split = iter(rows)
    return [torch.stack([next(split) for _ in range(count)]) for count in counts]


def _judged(logs: Tensor, choices: Sequence[Sequence[int]]) -> list[Tensor]:
    likeliest = torch.stack([part.float().cpu() for part in reversed(logs.topk(min(MAX_CANDIDATES, logs.shape[1])))])
    return [
        torch.stack([torch.tensor(wanted, dtype=torch.float32), row[list(wanted)].cpu()]) if wanted else best
        for row, wanted, best in zip(logs, choices, likeliest.unbind(dim=1), strict=True)
    ]


def _through(model: Any, names: Sequence[str], states: Tensor) -> Tensor:
    states = states.to(model.dtype)
    for name in names:
        states = getattr(model, name)(states)
    return states.float()
