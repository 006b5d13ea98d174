"""A small world to search in: real data, trainers of a few lines, and a bench of them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.metrics import log_loss

from consumers.learning.frame import Array, Frame
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Metric, Problem, Trainer
from consumers.training.bench import Bench, FeatureCache
from consumers.training.splits import divide
from schemas.learning import LearningTask, Splitting


class Steps(Config):
    rate: float = 0.5
    chunks: int = 6


class Gradient(Trainer[Steps, dict[str, Any]]):
    """Softmax regression by gradient descent, five steps a chunk."""

    name = "gradient"
    config = Steps
    encoding = Encoding.DENSE

    def start(self, config: Steps, problem: Problem) -> dict[str, Any]:
        return {"config": config.model_dump(), "classes": problem.classes, "done": 0, "weights": None}

    def fit(self, state: dict[str, Any], data: Matrix, target: Array) -> Fitted[dict[str, Any]]:
        x = np.hstack([data.values, np.ones((len(data.values), 1))])
        weights = np.zeros((x.shape[1], state["classes"])) if state["weights"] is None else np.array(state["weights"])
        for _ in range(5):
            weights -= (
                state["config"]["rate"] * x.T @ (_softmax(x @ weights) - np.eye(state["classes"])[target]) / len(x)
            )
        done = state["done"] + 1
        return Fitted(
            {**state, "done": done, "weights": weights.tolist()}, min(1.0, done / state["config"]["chunks"])
        )

    def predict(self, state: dict[str, Any], data: Matrix) -> Array:
        return _softmax(_with_ones(data) @ np.array(state["weights"]))

    def dump(self, state: dict[str, Any]) -> bytes:
        return json.dumps(state).encode()

    def load(self, content: bytes) -> dict[str, Any]:
        return dict(json.loads(content))

    def suggest(self, trial: Any, _problem: Problem, _rows: int) -> Steps:
        return Steps(rate=trial.suggest_float("rate", 0.01, 2.0, log=True), chunks=trial.suggest_int("chunks", 2, 8))


class Prior(Gradient):
    """Says the same of every row."""

    name = "dummy"
    encoding = Encoding.TREES

    def fit(self, state: dict[str, Any], _data: Matrix, target: Array) -> Fitted[dict[str, Any]]:
        shares = np.bincount(target, minlength=state["classes"]) / len(target)
        return Fitted({**state, "weights": shares.tolist()}, 1.0)

    def predict(self, state: dict[str, Any], data: Matrix) -> Array:
        return np.tile(state["weights"], (len(data.values), 1))

    def suggest(self, _trial: Any, _problem: Problem, _rows: int) -> None:  # type: ignore[override]
        return None


class Broken(Gradient):
    """Fails, or says what is no number."""

    name = "broken"

    def fit(self, state: dict[str, Any], data: Matrix, target: Array) -> Fitted[dict[str, Any]]:
        if state["config"]["chunks"] % 2:
            raise MemoryError
        fitted = super().fit(state, data, target)
        return Fitted({**fitted.state, "weights": (np.array(fitted.state["weights"]) * np.nan).tolist()}, 1.0)


class LogLoss(Metric):
    """Mean negative logarithm of what the right class was given."""

    name = "log-loss"
    greater_is_better = False

    def score(self, target: Array, predicted: Array) -> float:
        return float(log_loss(target, predicted, labels=np.arange(predicted.shape[1])))


class _Scaled:
    def __init__(self, frame: Frame) -> None:
        self._shift = {name: float(np.mean(each)) for name, each in frame.columns.items()}
        self._scale = {name: float(np.std(each)) or 1.0 for name, each in frame.columns.items()}

    def transform(self, frame: Frame) -> Matrix:
        columns = [(each - self._shift[name]) / self._scale[name] for name, each in frame.columns.items()]
        return Matrix(np.column_stack(columns), [], list(frame.columns), frame)


def fit_features(frame: Frame, target: Array, encoding: Encoding) -> tuple[_Scaled, Matrix]:
    features = _Scaled(frame)
    return features, features.transform(frame)


def wine_bench(
    trainers: Sequence[type[Trainer[Any, Any]]] = (Prior, Gradient), splitting: Splitting | None = None, seed: int = 0
) -> Bench:
    bunch = datasets.load_wine()
    frame = Frame({name: bunch.data[:, at] for at, name in enumerate(bunch.feature_names)}, len(bunch.data))
    target = bunch.target.astype(np.int64)
    made: Mapping[str, Trainer[Any, Any]] = {each.name: each() for each in trainers}
    problem = Problem(LearningTask.MULTICLASS, 3, seed, threads=1)
    division = divide(target, True, splitting or Splitting(folds=3), None, seed)
    return Bench(problem, made, LogLoss(), frame, target, division, FeatureCache(fit_features, 10**8))


def _with_ones(data: Matrix) -> Array:
    return np.hstack([data.values, np.ones((len(data.values), 1))])


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    shares: Array = e / e.sum(axis=1, keepdims=True)
    return shares
