"""Linear models."""

import warnings
from dataclasses import replace
from typing import Any

from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from consumers.learning.estimators import Kept, all_classes, kept
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer

_CHUNK = 100
"""Iterations of L-BFGS."""
_MOST_CHUNKS = 10


class LinearConfig(Config):
    regularization: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Of the squared weights, against the sum of the losses of all rows."""


State = Kept[LinearConfig]


class Linear(Trainer[LinearConfig, State]):
    """Logistic regression or ridge regression: a weight for each feature."""

    name = "linear"
    config = LinearConfig
    encoding = Encoding.DENSE

    def start(self, config: LinearConfig, problem: Problem) -> State:
        return Kept(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        if not state.problem.classes:
            model = Ridge(alpha=state.config.regularization).fit(data.values, target)
            return Fitted(replace(state, model=model), 1.0)
        model = state.model or LogisticRegression(C=1 / state.config.regularization, max_iter=_CHUNK, warm_start=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(data.values, target)
        chunks = state.chunks + 1
        fraction = 1.0 if model.n_iter_.max() < _CHUNK else chunks / _MOST_CHUNKS
        return Fitted(replace(state, model=model, chunks=chunks), fraction)

    def predict(self, state: State, data: Matrix) -> Array:
        model, classes = state.model, state.problem.classes
        if not classes:
            numbers: Array = model.predict(data.values)
            return numbers
        return all_classes(model.predict_proba(data.values), model.classes_, classes)

    def dump(self, state: State) -> bytes:
        return state.dump()

    def load(self, content: bytes) -> State:
        return kept(content, LinearConfig)

    def suggest(self, trial: Any, problem: Problem, rows: int) -> LinearConfig:
        # FLAML's space of C, from 1/32,768 to 32,768, on scaled features.
        return LinearConfig(regularization=trial.suggest_float("regularization", 1 / 32_768, 32_768, log=True))


LINEAR = Linear()
