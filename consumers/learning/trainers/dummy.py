"""What is predicted without looking."""

from typing import Any

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer
from consumers.learning.stored import dumped, loaded

State = dict[str, Any]


class Dummy(Trainer[Config, State]):
    """The share of each class, or the mean: the least that another model has to beat."""

    name = "dummy"
    encoding = Encoding.RAW

    def start(self, config: Config, problem: Problem) -> State:
        return {"classes": problem.classes, "answer": None}

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        if state["classes"] == 0:
            return Fitted({**state, "answer": target.mean(keepdims=True)}, 1.0)
        shares = np.bincount(target, minlength=state["classes"]) / len(target)
        return Fitted({**state, "answer": shares[np.newaxis]}, 1.0)

    def predict(self, state: State, data: Matrix) -> Array:
        return np.repeat(state["answer"], data.frame.rows, axis=0)

    def dump(self, state: State) -> bytes:
        return dumped(state)

    def load(self, content: bytes) -> State:
        state: State = loaded(content)
        return state


DUMMY = Dummy()
