"""What a training knows so far, as bytes: for whoever goes on after a kill.

An `.npz` archive, read without pickle: JSON for what is small, arrays for predictions, bytes for what trainers dump.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, JsonValue

from consumers.learning.frame import Array

TOO_LARGE = "it was chosen, and fitted on all rows it needs more memory than the job may take"


class FoldScore(BaseModel):
    loss: float
    """The metric, turned so that less is better."""
    fraction: float
    """Of what its settings ask for, after which the loss was least. Chunks would not do: more rows may make more."""


class Trial(BaseModel):
    number: int
    trainer: str
    config: dict[str, JsonValue]
    params: dict[str, Any] = {}
    """What the sampler drew, with the `distributions` that it drew from; empty for default settings."""
    distributions: dict[str, str] = {}
    folds: list[FoldScore] = []
    seconds: float = 0.0
    failure: str | None = None
    pruned: bool = False

    @property
    def loss(self) -> float:
        return float(np.mean([fold.loss for fold in self.folds]))

    @property
    def std(self) -> float:
        """Over the folds."""
        return float(np.std([fold.loss for fold in self.folds]))

    @property
    def finished(self) -> bool:
        return self.failure is None and not self.pruned

    @property
    def fraction(self) -> float:
        """How far to fit on all rows."""
        return float(np.mean([fold.fraction for fold in self.folds]))


@dataclass
class Fit:
    """A fit under way."""

    trainer: str
    chunks: int = 0
    fraction: float = 0.0
    best: FoldScore | None = None
    judged: int = 0
    """How often since the best."""
    predicted: Array | None = None
    """For the validation rows, by the best."""
    state: Any = None
    """As its trainer has it; None before the first chunk, and after a resumption until `dump` is loaded."""
    dump: bytes | None = None


@dataclass
class Running:
    """The trial under way. `predicted` has one array for each fold that is done."""

    trial: Trial
    predicted: list[Array] = field(default_factory=list)
    fit: Fit | None = None


@dataclass
class State:
    elapsed_s: float = 0.0
    ended: bool = False
    """Whether the search is over."""
    trials: list[Trial] = field(default_factory=list)
    predictions: dict[int, Array] = field(default_factory=dict)
    """Out of fold, of the best trials: float32, shape [validated rows] or [validated rows, classes]."""
    running: Running | None = None
    members: dict[str, bytes] = field(default_factory=dict)
    """What was fitted after the search, as its trainers dump it."""
    fitting: tuple[str, Fit] | None = None
    """The one of them that is under way."""

    def dump(self, dumped: Callable[[Fit], bytes]) -> bytes:
        """`dumped` gives the state of a fit as its trainer dumps it."""
        arrays = {f"predictions/{number}": each for number, each in self.predictions.items()}
        arrays |= {f"members/{name}": _raw(content) for name, content in self.members.items()}
        told = _Told(elapsed_s=self.elapsed_s, ended=self.ended, trials=self.trials)
        fit = None
        if self.running is not None:
            arrays |= {f"running/{at}": each for at, each in enumerate(self.running.predicted)}
            told.running, fit = self.running.trial, self.running.fit
        elif self.fitting is not None:
            told.fitting, fit = self.fitting
        if fit is not None and fit.chunks:
            told.fit = _FitTold(
                trainer=fit.trainer, chunks=fit.chunks, fraction=fit.fraction, best=fit.best, judged=fit.judged
            )
            arrays["fit/dump"] = _raw(dumped(fit))
            if fit.predicted is not None:
                arrays["fit/predicted"] = fit.predicted
        arrays["told"] = _raw(told.model_dump_json().encode())
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def load(cls, content: bytes) -> "State":
        """Raises ValueError for what `dump` did not make."""
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive.items())
        told = _Told.model_validate_json(arrays["told"].tobytes())
        state = cls(told.elapsed_s, told.ended, told.trials)
        state.predictions = {int(number): each for number, each in _below("predictions/", arrays).items()}
        state.members = {name: each.tobytes() for name, each in _below("members/", arrays).items()}
        fit = None
        if told.fit is not None:
            fit = Fit(**dict(told.fit), predicted=arrays.get("fit/predicted"), dump=arrays["fit/dump"].tobytes())
        if told.running is not None:
            done = _below("running/", arrays)
            state.running = Running(told.running, [done[str(at)] for at in range(len(done))], fit)
        elif told.fitting is not None and fit is not None:
            state.fitting = (told.fitting, fit)
        return state


class _FitTold(BaseModel):
    trainer: str
    chunks: int
    fraction: float
    best: FoldScore | None
    judged: int


class _Told(BaseModel):
    elapsed_s: float
    ended: bool
    trials: list[Trial]
    running: Trial | None = None
    fitting: str | None = None
    fit: _FitTold | None = None


def _raw(content: bytes) -> Array:
    return np.frombuffer(content, dtype=np.uint8)


def _below(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}
