"""Nearest neighbours."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from consumers.learning.estimators import Kept, kept
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer

_MOST_ROWS = 20_000
"""Of more a sample is kept: each answer looks at all of them, and they are the model's size."""
_TOGETHER = 5_000_000
"""Distances held at once."""


class NeighborsConfig(Config):
    neighbors: int = Field(default=15, ge=1, le=1_000)
    weights: Literal["uniform", "distance"] = "distance"


State = Kept[NeighborsConfig]


class Neighbors(Trainer[NeighborsConfig, State]):
    """The mean of the rows that are most alike, by Euclidean distance of scaled features."""

    # Not scikit-learn's, whose threads make 26 ms to 59 ms of 0.1 ms for one row on a busy machine.

    name = "neighbors"
    config = NeighborsConfig
    encoding = Encoding.DENSE

    def start(self, config: NeighborsConfig, problem: Problem) -> State:
        return Kept(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        rows = np.arange(len(target))
        if len(rows) > _MOST_ROWS:
            rows = np.random.default_rng(state.problem.seed).choice(rows, _MOST_ROWS, replace=False)
        classes = state.problem.classes
        answers = np.eye(classes)[target[rows]] if classes else target[rows, np.newaxis]
        inputs = data.values[rows]
        model = {"inputs": inputs, "squares": (inputs**2).sum(axis=1), "answers": answers}
        return Fitted(replace(state, model=model), 1.0)

    def predict(self, state: State, data: Matrix) -> Array:
        blocks = max(1, -(-len(data.values) * len(state.model["inputs"]) // _TOGETHER))
        found = np.concatenate([_answers(state, block) for block in np.array_split(data.values, blocks)])
        return found if state.problem.classes else found[:, 0]

    def dump(self, state: State) -> bytes:
        return state.dump()

    def load(self, content: bytes) -> State:
        return kept(content, NeighborsConfig)

    def suggest(self, trial: Any, problem: Problem, rows: int) -> NeighborsConfig:
        # FLAML's space, up to half of the rows and 512 neighbours.
        return NeighborsConfig(
            neighbors=trial.suggest_int("neighbors", 1, max(2, min(512, rows // 2)), log=True),
            weights=trial.suggest_categorical("weights", ["uniform", "distance"]),
        )


def _answers(state: State, values: Array) -> Array:
    model, count = state.model, min(state.config.neighbors, len(state.model["inputs"]))
    squares = (values**2).sum(axis=1)[:, np.newaxis] + model["squares"] - 2 * values @ model["inputs"].T
    nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
    distances = np.sqrt(np.maximum(np.take_along_axis(squares, nearest, axis=1), 0))
    # A row that training had decides alone, at a distance that rounding leaves at 1e-7 or so.
    weights = np.maximum(distances, 1e-6) ** (-1 if state.config.weights == "distance" else 0)
    weights /= weights.sum(axis=1, keepdims=True)
    found: Array = np.einsum("rn,rnc->rc", weights, model["answers"][nearest])
    return found


NEIGHBORS = Neighbors()
