"""Gradient boosting over histograms, as in scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from threadpoolctl import threadpool_limits

from consumers.learning.archive import ModelBroken
from consumers.learning.estimators import Kept, all_classes, kept
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer
from consumers.learning.walk import Walk

_CHUNK = 20
"""Iterations."""
_FEW_ROWS = 16
"""Up to so many go down all trees together; of more, each tree takes all."""
_FEW_VALUES = 200_000
"""Up to so many, threads wait for each other longer than they work."""
_TRUSTED = ("functools.partial", "sklearn.utils.validation.check_array", TreePredictor)
"""skops looks at the function in a `partial` as at anything else."""


class HistGradientBoostingConfig(Config):
    iterations: int = Field(default=100, ge=1, le=10_000)
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    max_leaf_nodes: int = Field(default=31, ge=2, le=4_096)
    min_samples_leaf: int = Field(default=20, ge=1)
    l2_regularization: float = Field(default=0.0, ge=0)
    max_features: float = Field(default=1.0, gt=0, le=1)
    """Share of the features that each split may choose from."""


@dataclass(frozen=True)
class State(Kept[HistGradientBoostingConfig]):
    @cached_property
    def walk(self) -> Walk:
        return Walk([tree for iteration in self.model._predictors for tree in iteration])


class HistGradientBoosting(Trainer[HistGradientBoostingConfig, State]):
    """Trees fitted one after the other to what is left, over histograms, as in scikit-learn."""

    name = "hist-gradient-boosting"
    config = HistGradientBoostingConfig
    encoding = Encoding.TREES

    def start(self, config: HistGradientBoostingConfig, problem: Problem) -> State:
        return State(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        config = state.config
        model = self._new(state, data.categorical) if state.model is None else state.model
        model.max_iter = min(config.iterations, (model.n_iter_ if state.model else 0) + _CHUNK)
        threads = 1 if data.values.size <= _FEW_VALUES else state.problem.threads
        with threadpool_limits(threads, "openmp"):
            model.fit(data.values, target)
        return Fitted(replace(state, model=model), model.n_iter_ / config.iterations)

    def _new(self, state: State, categorical: Sequence[int]) -> Any:
        kind = HistGradientBoostingClassifier if state.problem.classes else HistGradientBoostingRegressor
        return kind(
            categorical_features=list(categorical),
            early_stopping=False,
            random_state=state.problem.seed,
            warm_start=True,
            **state.config.model_dump(exclude={"iterations"}),
        )

    def predict(self, state: State, data: Matrix) -> Array:
        model = state.model
        raw = _raw(state, _arranged(model, data.values))
        if not state.problem.classes:
            values: Array = raw.ravel()
            return values
        return all_classes(model._loss.predict_proba(raw), model.classes_, state.problem.classes)

    def dump(self, state: State) -> bytes:
        return state.dump()

    def load(self, content: bytes) -> State:
        found = kept(content, HistGradientBoostingConfig, _TRUSTED)
        if found.model is not None:
            _check(found.model)
        return State(found.config, found.problem, found.model)

    def suggest(self, trial: Any, problem: Problem, rows: int) -> HistGradientBoostingConfig:
        # FLAML's space for histogram boosting, with its iterations bounded by what a search has time for.
        return HistGradientBoostingConfig(
            iterations=trial.suggest_int("iterations", 20, 500, log=True),
            learning_rate=trial.suggest_float("learning_rate", 1 / 1024, 1.0, log=True),
            max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 4, max(8, min(1_024, rows)), log=True),
            min_samples_leaf=trial.suggest_int("min_samples_leaf", 2, 128, log=True),
            l2_regularization=trial.suggest_float("l2_regularization", 1 / 1024, 1024, log=True),
            max_features=trial.suggest_float("max_features", 0.3, 1.0),
        )


def _raw(state: State, values: Array) -> Array:
    """What `_raw_predict` gives, to the bit, shape [rows, trees of an iteration]. That encodes categories in 1.2 ms
    for a row, and cannot be told by `predict` how many threads to use: 12 ms for a row and 300 trees."""
    model = state.model
    raw: Array = np.zeros((len(values), model.n_trees_per_iteration_), order="F") + model._baseline_prediction
    if len(values) > _FEW_ROWS:
        model._predict_iterations(values, model._predictors, raw, False, state.problem.threads)
        return raw
    leaves = state.walk.leaves(values).reshape(len(values), -1, model.n_trees_per_iteration_)
    # Not `sum`, which adds in another order.
    summed: Array = np.concatenate([raw[:, np.newaxis], leaves], axis=1).cumsum(axis=1)[:, -1]
    return summed


def _arranged(model: Any, values: Array) -> Array:
    """As the model's own preprocessor does: categories first, numbered by rank, and NaN where unknown."""
    if model._preprocessor is None:
        return values
    encoder = model._preprocessor.transformers_[0][1]
    first = []
    for known, column in zip(encoder.categories_, values[:, model.is_categorical_].T, strict=True):
        rank = np.minimum(np.searchsorted(known, column), len(known) - 1)
        first.append(np.where(known[rank] == column, rank, np.nan))
    return np.column_stack([*first, values[:, ~model.is_categorical_]])


def _check(model: Any) -> None:
    """scikit-learn walks trees by indices that it does not check: wrong ones would read anywhere in memory."""
    for iteration in model._predictors:
        for tree in iteration:
            nodes = tree.nodes
            inner = nodes[nodes["is_leaf"] == 0]
            order = (nodes["is_leaf"] == 0).nonzero()[0]
            children = (inner["left"], inner["right"])
            # A child stands behind its parent, so that every walk ends.
            sound = all(((child > order) & (child < len(nodes))).all() for child in children)
            if (
                not sound
                or not (inner["feature_idx"] < model.n_features_in_).all()
                or (inner["feature_idx"] < 0).any()
            ):
                raise ModelBroken("a tree has nodes that lead nowhere")
            if inner["is_categorical"].any() and inner["bitset_idx"].max() >= len(tree.raw_left_cat_bitsets):
                raise ModelBroken("a tree has categories that are not there")


HIST_GRADIENT_BOOSTING = HistGradientBoosting()
