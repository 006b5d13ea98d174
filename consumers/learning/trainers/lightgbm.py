"""Gradient boosting with LightGBM."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightgbm
import numpy as np
from pydantic import Field

from consumers.learning.archive import ModelBroken
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer
from schemas.learning import LearningTask

_CHUNK = 25
"""Iterations. Other chunks give another model: each begins with the predictions of those before, as stored."""
_FEW_ROWS = 1_000
_RESERVED = {"verbosity": -1, "deterministic": True, "force_row_wise": True, "feature_pre_filter": False}


class LightGbmConfig(Config):
    iterations: int = Field(default=100, ge=1, le=10_000)
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    num_leaves: int = Field(default=31, ge=2, le=4_096)
    min_data_in_leaf: int = Field(default=20, ge=1)
    feature_fraction: float = Field(default=1.0, gt=0, le=1)
    """Of the features, for each tree."""
    bagging_fraction: float = Field(default=1.0, gt=0, le=1)
    """Of the rows, for each tree."""
    lambda_l1: float = Field(default=0.0, ge=0)
    lambda_l2: float = Field(default=0.0, ge=0)
    extra_trees: bool = False
    """Whether splits are drawn, and the best of a few features taken."""


@dataclass(frozen=True)
class State:
    config: LightGbmConfig
    problem: Problem
    model: lightgbm.Booster | None = None

    @property
    def done(self) -> int:
        return 0 if self.model is None else self.model.current_iteration()


class LightGbm(Trainer[LightGbmConfig, State]):
    """Trees fitted one after the other to what is left, grown leaf by leaf: LightGBM."""

    name = "lightgbm"
    config = LightGbmConfig
    encoding = Encoding.TREES

    def start(self, config: LightGbmConfig, problem: Problem) -> State:
        return State(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        categories = list(data.categorical)
        names = [f"f{number}" for number in range(data.values.shape[1])]
        rows = lightgbm.Dataset(
            data.values, target, feature_name=names, categorical_feature=categories, free_raw_data=False
        )
        more = min(_CHUNK, state.config.iterations - state.done)
        model = lightgbm.train(_params(state), rows, more, init_model=state.model)
        # As it is stored, so that a chunk begins alike whether the state was stored in between or not.
        state = replace(state, model=lightgbm.Booster(model_str=model.model_to_string(num_iteration=-1)))
        return Fitted(state, state.done / state.config.iterations)

    def predict(self, state: State, data: Matrix) -> Array:
        assert state.model is not None, "nothing is fitted yet"  # noqa: S101  # the caller's mistake
        threads = 1 if len(data.values) <= _FEW_ROWS else state.problem.threads
        found = np.asarray(state.model.predict(data.values, num_threads=threads))
        return np.column_stack([1 - found, found]) if state.problem.classes == 2 else found

    def dump(self, state: State) -> bytes:
        problem = {**asdict(state.problem), "task": str(state.problem.task)}
        model = None if state.model is None else state.model.model_to_string(num_iteration=-1)
        return json.dumps({"config": state.config.model_dump(), "problem": problem, "model": model}).encode()

    def load(self, content: bytes) -> State:
        try:
            kept = json.loads(content)
            problem = Problem(**{**kept["problem"], "task": LearningTask(kept["problem"]["task"])})
            model = None if kept["model"] is None else lightgbm.Booster(model_str=kept["model"])
            return State(LightGbmConfig.model_validate(kept["config"]), problem, model)
        except (ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise ModelBroken(f"a member of LightGBM does not load: {error}") from None

    def suggest(self, trial: Any, problem: Problem, rows: int) -> LightGbmConfig:
        # FLAML's space, with AutoGluon's "extra trees" beside it.
        return LightGbmConfig(
            iterations=trial.suggest_int("iterations", 20, 1_000, log=True),
            learning_rate=trial.suggest_float("learning_rate", 1 / 1024, 1.0, log=True),
            num_leaves=trial.suggest_int("num_leaves", 4, max(8, min(1_024, rows)), log=True),
            min_data_in_leaf=trial.suggest_int("min_data_in_leaf", 2, 128, log=True),
            feature_fraction=trial.suggest_float("feature_fraction", 0.3, 1.0),
            bagging_fraction=trial.suggest_float("bagging_fraction", 0.5, 1.0),
            lambda_l1=trial.suggest_float("lambda_l1", 1 / 1024, 1024, log=True),
            lambda_l2=trial.suggest_float("lambda_l2", 1 / 1024, 1024, log=True),
            extra_trees=trial.suggest_categorical("extra_trees", [False, True]),
        )


def _params(state: State) -> dict[str, Any]:
    classes = state.problem.classes
    objective = "regression" if classes == 0 else "binary" if classes == 2 else "multiclass"
    return {
        **_RESERVED,
        **state.config.model_dump(exclude={"iterations"}),
        "objective": objective,
        **({"num_class": classes} if objective == "multiclass" else {}),
        "bagging_freq": 1 if state.config.bagging_fraction < 1 else 0,
        # Of its own for each chunk, or all would draw the same rows and features.
        "seed": (state.problem.seed + state.done) % 2**31,
        "num_threads": state.problem.threads,
    }


LIGHTGBM = LightGbm()
