"""From a model's scores to the next token of each request, each with settings of its own.

What is drawn at a place follows from the seed and the place alone, so whoever goes on with a text draws what the one
before would have drawn.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """As `transformers` understands them; `presence` and `frequency` as OpenAI does."""

    temperature: float = 0.0
    """0 takes the likeliest."""
    top_k: int = 0
    """0 for all."""
    top_p: float = 1.0
    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0
    seed: int = 0

    @property
    def penalises(self) -> bool:
        return self.repetition != 1.0 or self.presence != 0.0 or self.frequency != 0.0


@dataclass(frozen=True)
class Place:
    """Where a request stands."""

    sampling: Sampling
    prompt: Sequence[int]
    written: Sequence[int]


def choose(scores: Tensor, places: Sequence[Place]) -> list[int]:
    """One token for each row of `scores`, `[requests, vocabulary]`."""
    scores = scores.float()
    for row, place in enumerate(places):
        if place.sampling.penalises:
            scores[row] = _penalised(scores[row], place)
    chosen = scores.argmax(dim=-1)
    drawing = [row for row, place in enumerate(places) if place.sampling.temperature > 0]
    if drawing:
        chosen[drawing] = _drawn(scores[drawing], [places[row] for row in drawing])
    return [int(token) for token in chosen.tolist()]


def uniform(seed: int, place: int) -> float:
    """At least 0 and below 1, of 53 bits."""
    digest = hashlib.blake2b(f"{seed}:{place}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _penalised(scores: Tensor, place: Place) -> Tensor:
    sampling, scores = place.sampling, scores.clone()
    if sampling.repetition != 1.0:
        seen = torch.tensor(sorted({*place.prompt, *place.written}), device=scores.device)
        had = scores[seen]
        scores[seen] = torch.where(had < 0, had * sampling.repetition, had / sampling.repetition)
    if place.written and (sampling.presence or sampling.frequency):
        counted = Counter(place.written)
        tokens, times = (torch.tensor(each, device=scores.device) for each in zip(*counted.items(), strict=True))
        scores[tokens] -= sampling.presence + sampling.frequency * times
    return scores


def _drawn(scores: Tensor, places: Sequence[Place]) -> Tensor:
    settings = [place.sampling for place in places]
    scores = scores / _column([each.temperature for each in settings], scores)
    if all(each.top_p == 1.0 and each.top_k == 0 for each in settings):
        return _at(scores.softmax(dim=-1), places)
    # The likeliest first; of those no more than top_k, and no more than it takes to have top_p of what these have.
    ranked, order = scores.sort(dim=-1, descending=True, stable=True)
    most = _column([each.top_k or scores.shape[-1] for each in settings], scores)
    ranked = ranked.masked_fill(torch.arange(scores.shape[-1], device=scores.device) >= most, -torch.inf)
    shares = ranked.softmax(dim=-1)
    before = shares.cumsum(dim=-1) - shares
    kept = shares.masked_fill(before >= _column([each.top_p for each in settings], scores), 0.0)
    return order.gather(1, _at(kept, places)[:, None])[:, 0]


def _at(shares: Tensor, places: Sequence[Place]) -> Tensor:
    """Where the running sum of `shares` passes the number drawn for each row."""
    sums = shares.double().cumsum(dim=-1)
    drawn = [uniform(place.sampling.seed, len(place.written)) for place in places]
    aim = torch.tensor(drawn, dtype=torch.double, device=shares.device)[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, aim, right=True)[:, 0]
    # Rounding may put the aim on the very end, behind which there is nothing, or only what has no share.
    last = (shares > 0).long().mul(torch.arange(1, shares.shape[-1] + 1, device=shares.device)).argmax(dim=-1)
    return torch.minimum(found, last)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device)[:, None]
