"""Whether a model gains from bfloat16 on this device: measured when it is loaded, and not taken from a table.

On a CPU without instructions for it bfloat16 is slower than float32, and a model may be one that does not bear it.
"""

import time

import numpy as np
import torch

from consumers.inference.onednn import bfloat16_supported
from consumers.inference.ports import Calibration, Encoder, Vectors
from consumers.inference.warming import probe

_TOKENS, _TIMES = 256, 3
_LEAST_COSINE = 0.999
_GAIN = 1.1


def may_gain(device: torch.device) -> bool:
    """Whether it is worth a measurement."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bfloat16_supported()


def calibrated(plain: Encoder, narrow: Encoder) -> Calibration:
    """Of two encoders that differ in their dtype."""
    speedup = _least_s(plain) / _least_s(narrow)
    batch = probe(plain, _TOKENS)
    pairs = zip(plain.forward(batch).vectors, narrow.forward(batch).vectors, strict=True)
    return Calibration(speedup, min(_cosine(*pair) for pair in pairs))


def pays(found: Calibration) -> bool:
    return found.speedup >= _GAIN and found.least_cosine >= _LEAST_COSINE


def _least_s(encoder: Encoder) -> float:
    batch = probe(encoder, _TOKENS)
    found = []
    for _ in range(1 + _TIMES):  # the first one prepares
        started = time.perf_counter()
        encoder.forward(batch)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def _cosine(expected: Vectors, found: Vectors) -> float:
    """The least one along the last axis; NaN, which is not enough, where an answer is not finite."""
    dots = (expected * found).sum(axis=-1)
    return float((dots / (np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1))).min())
