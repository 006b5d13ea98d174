"""The first forward passes of a model: they prepare what is done once for each number of tokens, and show what one
takes."""

import time
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
import torch

from consumers.inference.memory import MemoryMeter
from consumers.inference.ports import Encoder, Input

_LENGTH = 32
_FEWEST, _TIMES = 256, 4  # tokens of the first pass, and how many times as many the next one has
_ENOUGH_S = 0.5  # a model whose passes take so long need not be tried with more tokens


@dataclass
class Warmth:
    timings: list[tuple[int, float]] = field(default_factory=list)
    """Tokens and seconds of passes."""
    peak_bytes: int = 0
    """What a pass takes beside the weights, for a batch of `most` tokens."""


def probe(encoder: Encoder, tokens: int) -> list[Input]:
    """Ids drawn at random, always the same ones; the first is a blank for a model that fills them."""
    ids = np.random.default_rng(0).integers(0, encoder.vocabulary, (max(1, tokens // _LENGTH), _LENGTH))
    if encoder.blank is not None:
        ids[:, 0] = encoder.blank
    return [Input(row.tolist(), choices=range(2, 9)) for row in ids]


def warm(encoder: Encoder, most: int, device: torch.device) -> Warmth:
    """With batches of up to `most` tokens, as far as there is memory for them."""
    found = Warmth()
    for tokens in takewhile(most.__ge__, (_FEWEST * _TIMES**power for power in range(8))):
        try:
            taken, peak = _pass(encoder, tokens, device)
        except MemoryError:
            break
        found.timings.append((tokens, taken))
        found.peak_bytes = max(found.peak_bytes, peak * most // tokens)
        if taken >= _ENOUGH_S:
            break
    return found


def _pass(encoder: Encoder, tokens: int, device: torch.device) -> tuple[float, int]:
    batch = probe(encoder, tokens)
    meter = MemoryMeter(device)
    encoder.forward(batch)
    started = time.perf_counter()
    encoder.forward(batch)
    return time.perf_counter() - started, meter.peak()
