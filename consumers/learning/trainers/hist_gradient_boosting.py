"""Gradient boosting over histograms, as in scikit-learn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from threadpoolctl import threadpool_limits

from consumers.learning.archive import ModelBroken
from consumers.learning.estimators import Kept, all_classes, kept
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer

_CHUNK = 20
"""Iterations."""
_FEW_ROWS = 1_000
"""Up to so many, starting threads for every tree takes longer than what they do."""
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


State = Kept[HistGradientBoostingConfig]


class HistGradientBoosting(Trainer[HistGradientBoostingConfig, State]):
    """Trees fitted one after the other to what is left, over histograms, as in scikit-learn."""

    name = "hist-gradient-boosting"
    config = HistGradientBoostingConfig
    encoding = Encoding.TREES

    def start(self, config: HistGradientBoostingConfig, problem: Problem) -> State:
        return Kept(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        config = state.config
        model = self._new(state, data.categorical) if state.model is None else state.model
        model.max_iter = min(config.iterations, (model.n_iter_ if state.model else 0) + _CHUNK)
        with threadpool_limits(state.problem.threads, "openmp"):
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
        # What `predict` does, which cannot be told how many threads to use: 12 ms for a row and 300 trees, not 1.5.
        raw = model._raw_predict(data.values, n_threads=1 if len(data.values) <= _FEW_ROWS else None)
        if not state.problem.classes:
            values: Array = raw.ravel()
            return values
        return all_classes(model._loss.predict_proba(raw), model.classes_, state.problem.classes)

    def dump(self, state: State) -> bytes:
        return state.dump()

    def load(self, content: bytes) -> State:
        state = kept(content, HistGradientBoostingConfig, _TRUSTED)
        if state.model is not None:
            _check(state.model)
        return state

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
