"""A trained model as a file: what `consumers.training` writes and `consumers.prediction` loads.

A zip archive, never a pickle: `manifest.json`, and the preprocessing and members that it names, each as skops,
safetensors or a library's own text, with its digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumers.learning.frame import Array, Frame
from schemas.learning import Signature


@dataclass(frozen=True)
class Predictions:
    values: list[Any]
    """Classes as the dataset writes them, or floats."""
    probabilities: Array | None
    """Shape [rows, classes]."""


class TrainedModel:
    signature: Signature

    @classmethod
    def load(cls, path: Path) -> "TrainedModel":
        """Raises ModelBroken when it is no model of ours, or a part has other bytes than its digest says."""
        raise NotImplementedError

    def predict(self, frame: Frame) -> Predictions:
        raise NotImplementedError

    @property
    def typical(self) -> dict[str, Any]:
        """Per input a typical value (median, most frequent): what explanations compare with."""
        raise NotImplementedError


def frame_of(rows: Sequence[dict[str, Any]], signature: Signature) -> Frame:
    """Rows that were checked against the signature, as a frame."""
    raise NotImplementedError
