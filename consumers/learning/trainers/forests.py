"""Forests of independent trees, as in scikit-learn."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree._tree import Tree

from consumers.learning.archive import ModelBroken
from consumers.learning.estimators import Kept, all_classes, kept
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer

_CHUNK = 25
"""Trees."""
_LARGEST = 1e30
"""Forests compute in float32, and sum up the rows of a feature: 1e38 is where that ends."""


class ForestConfig(Config):
    trees: int = Field(default=200, ge=1, le=10_000)
    max_features: float = Field(default=0.0, ge=0, le=1)
    """Share of the features that each split may choose from; 0 is their square root."""
    min_samples_leaf: int = Field(default=1, ge=1)
    max_leaf_nodes: int = Field(default=15_000, ge=2)
    """The default is AutoGluon's: it bounds the size of a forest on a large table, and costs nothing on others."""


State = Kept[ForestConfig]


class _Forest(Trainer[ForestConfig, State]):
    config = ForestConfig
    encoding = Encoding.TREES
    classifier: ClassVar[type]
    regressor: ClassVar[type]

    def start(self, config: ForestConfig, problem: Problem) -> State:
        return Kept(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        model = self._new(state) if state.model is None else state.model
        done = 0 if state.model is None else len(model.estimators_)
        model.n_estimators = min(state.config.trees, done + _CHUNK)
        model.fit(_bounded(data.values), target)
        return Fitted(replace(state, model=model), model.n_estimators / state.config.trees)

    def _new(self, state: State) -> Any:
        kind = self.classifier if state.problem.classes else self.regressor
        return kind(
            max_features=state.config.max_features or "sqrt",
            min_samples_leaf=state.config.min_samples_leaf,
            max_leaf_nodes=state.config.max_leaf_nodes,
            n_jobs=state.problem.threads,
            random_state=state.problem.seed,
            warm_start=True,
        )

    def predict(self, state: State, data: Matrix) -> Array:
        # Tree by tree: what `predict` does around each takes 20 ms for a row and 300 trees, and this 1.
        values = _bounded(data.values).astype(np.float32)
        trees = state.model.estimators_
        mean = sum(tree.tree_.predict(values) for tree in trees) / len(trees)
        if not state.problem.classes:
            numbers: Array = mean[:, 0]
            return numbers
        return all_classes(mean, state.model.classes_, state.problem.classes)

    def dump(self, state: State) -> bytes:
        return state.dump()

    def load(self, content: bytes) -> State:
        state = kept(content, ForestConfig, (Tree,))
        for tree in state.model.estimators_ if state.model else ():
            _check(tree.tree_)
        return state

    def suggest(self, trial: Any, problem: Problem, rows: int) -> ForestConfig:
        # FLAML's space, with AutoGluon's leaf sizes.
        return ForestConfig(
            trees=trial.suggest_int("trees", 50, 500, log=True),
            max_features=trial.suggest_float("max_features", 0.05, 1.0, log=True),
            min_samples_leaf=trial.suggest_int("min_samples_leaf", 1, 20, log=True),
            max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 4, max(8, min(15_000, rows)), log=True),
        )


class RandomForest(_Forest):
    """The mean of trees, each fitted to a sample of the rows."""

    name = "random-forest"
    classifier = RandomForestClassifier
    regressor = RandomForestRegressor


class ExtraTrees(_Forest):
    """The mean of trees that draw where to split: smoother than a random forest, and faster to fit."""

    name = "extra-trees"
    classifier = ExtraTreesClassifier
    regressor = ExtraTreesRegressor


def _bounded(values: Array) -> Array:
    return np.clip(values, -_LARGEST, _LARGEST)


def _check(tree: Any) -> None:
    """scikit-learn walks trees by indices that it does not check: wrong ones would read anywhere in memory."""
    left, right = tree.children_left, tree.children_right
    inner = np.flatnonzero(left != -1)
    # A child stands behind its parent, so that every walk ends.
    forward = all(((child[inner] > inner) & (child[inner] < tree.node_count)).all() for child in (left, right))
    features = tree.feature[inner]
    if not forward or ((features < 0) | (features >= tree.n_features)).any():
        raise ModelBroken("a tree has nodes that lead nowhere")


RANDOM_FOREST = RandomForest()
EXTRA_TREES = ExtraTrees()
