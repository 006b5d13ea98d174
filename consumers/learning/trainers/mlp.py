"""A neural network."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer

if TYPE_CHECKING:
    from consumers.learning.network import State


class MlpConfig(Config):
    layers: int = Field(default=2, ge=1, le=8)
    width: int = Field(default=128, ge=4, le=4_096)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    """At the start; it falls to 0 along a cosine."""
    weight_decay: float = Field(default=1e-2, ge=0, le=10)
    epochs: int = Field(default=60, ge=1, le=10_000)
    batch: int = Field(default=128, ge=1)
    """Rows for each step."""


class Mlp(Trainer[MlpConfig, "State"]):
    """A multi-layer perceptron with AdamW; its first layer holds an embedding of each one-hot category."""

    name = "mlp"
    config = MlpConfig
    encoding = Encoding.DENSE

    # torch takes seconds and 200 MB to load: only where there is a network to train or to ask.

    def start(self, config: MlpConfig, problem: Problem) -> "State":
        from consumers.learning.network import State

        return State(config, problem)

    def fit(self, state: "State", data: Matrix, target: Array) -> "Fitted[State]":
        from consumers.learning.network import chunk

        return chunk(state, data.values, target)

    def predict(self, state: "State", data: Matrix) -> Array:
        from consumers.learning.network import answers

        return answers(state, data.values)

    def dump(self, state: "State") -> bytes:
        from consumers.learning.network import dump

        return dump(state)

    def load(self, content: bytes) -> "State":
        from consumers.learning.network import load

        return load(content)

    def suggest(self, trial: Any, problem: Problem, rows: int) -> MlpConfig:
        # Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data" (2021), appendix: MLP, made smaller.
        return MlpConfig(
            layers=trial.suggest_int("layers", 1, 4),
            width=trial.suggest_int("width", 32, 512, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
            epochs=trial.suggest_int("epochs", 20, 150, log=True),
            batch=trial.suggest_categorical("batch", _batches(rows)),
        )


def _batches(rows: int) -> Sequence[int]:
    return [32, 128, 512] if rows < 20_000 else [128, 512, 2_048]


MLP = Mlp()
