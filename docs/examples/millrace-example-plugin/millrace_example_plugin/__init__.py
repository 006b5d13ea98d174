"""Two plugins for Millrace: a trainer and a metric."""

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field
from sklearn.naive_bayes import GaussianNB

from consumers.learning.estimators import Kept, all_classes, kept
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Metric, Problem, Trainer
from schemas.learning import LearningTask


class NaiveBayesConfig(Config):
    smoothing: float = Field(default=1e-9, gt=0, le=1)
    """Share of the largest variance that is added to all of them."""


State = Kept[NaiveBayesConfig]


class NaiveBayes(Trainer[NaiveBayesConfig, State]):
    """Gaussian naive Bayes: each feature by itself, normally distributed within a class."""

    name = "naive-bayes"
    config = NaiveBayesConfig
    tasks = frozenset({LearningTask.BINARY, LearningTask.MULTICLASS})
    encoding = Encoding.DENSE

    def start(self, config: NaiveBayesConfig, problem: Problem) -> State:
        return Kept(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        model = GaussianNB(var_smoothing=state.config.smoothing).fit(data.values, target)
        return Fitted(replace(state, model=model), fraction=1.0)

    def predict(self, state: State, data: Matrix) -> Array:
        return all_classes(state.model.predict_proba(data.values), state.model.classes_, state.problem.classes)

    def dump(self, state: State) -> bytes:
        return state.dump()

    def load(self, content: bytes) -> State:
        return kept(content, NaiveBayesConfig)

    def suggest(self, trial: Any, problem: Problem, rows: int) -> NaiveBayesConfig:
        return NaiveBayesConfig(smoothing=trial.suggest_float("smoothing", 1e-12, 1e-1, log=True))


class WithinTenPercent(Metric):
    """Share of the rows whose prediction is at most a tenth of the target away from it."""

    name = "within-ten-percent"
    tasks = frozenset({LearningTask.REGRESSION})
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        return float(np.mean(np.abs(predicted - target) <= 0.1 * np.abs(target)))


NAIVE_BAYES = NaiveBayes()
WITHIN_TEN_PERCENT = WithinTenPercent()
