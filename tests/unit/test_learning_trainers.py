"""Every trainer: better than the dummy, the same in every run and across storing, and safe to load."""

from functools import cache
from typing import Any

import numpy as np
import optuna
import pytest

from consumers.learning.archive import ModelBroken
from consumers.learning.metrics import DEFAULTS
from consumers.learning.plugins import Matrix, Problem
from consumers.learning.registry import metrics, trainers
from consumers.learning.trainers.forests import RANDOM_FOREST
from consumers.learning.trainers.hist_gradient_boosting import HIST_GRADIENT_BOOSTING
from schemas.learning import LearningTask
from tests.unit.learning_data import Split, binary, featured, fitted, multiclass, quick, regression

SPLITS = {"binary": cache(binary), "multiclass": cache(multiclass), "regression": cache(regression)}
TABULAR = (
    "dummy",
    "linear",
    "random-forest",
    "extra-trees",
    "hist-gradient-boosting",
    "lightgbm",
    "mlp",
    "neighbors",
)
each_trainer = pytest.mark.parametrize("name", TABULAR)
each_task = pytest.mark.parametrize("task", SPLITS)


def score(split: Split, name: str, state: Any, features: Any) -> float:
    frame, target = split.test
    metric = metrics()[DEFAULTS[split.problem.task]]
    assert not metric.greater_is_better
    return metric.score(target, trainers()[name].predict(state, features.transform(frame)))


@each_task
@each_trainer
def test_a_trainer_beats_the_dummy_and_storing_changes_nothing(name: str, task: str) -> None:
    split, trainer = SPLITS[task](), trainers()[name]
    features, data = featured(trainer, split)
    target = split.train[1]
    straight = fitted(trainer, split.problem, data, target)
    resumed = fitted(trainer, split.problem, data, target, stored=True)
    unseen = features.transform(split.test[0])
    assert trainer.dump(straight) == trainer.dump(resumed)
    assert np.array_equal(trainer.predict(straight, unseen), trainer.predict(resumed, unseen))
    assert trainer.dump(trainer.load(trainer.dump(straight))) == trainer.dump(straight)
    if name != "dummy":
        dummy = trainers()["dummy"]
        nothing, blind = featured(dummy, split)
        least = score(split, "dummy", fitted(dummy, split.problem, blind, target), nothing)
        assert score(split, name, straight, features) < 0.9 * least


@each_trainer
def test_one_row_is_answered_like_many(name: str) -> None:
    split, trainer = SPLITS["multiclass"](), trainers()[name]
    features, data = featured(trainer, split)
    state = fitted(trainer, split.problem, data, split.train[1])
    frame = split.test[0]
    together = trainer.predict(state, features.transform(frame))
    alone = [trainer.predict(state, features.transform(frame.take(np.array([row]))))[0] for row in range(5)]
    assert np.allclose(together[:5], alone, rtol=0, atol=1e-6)
    assert np.allclose(together.sum(axis=1), 1)


@each_trainer
def test_a_class_without_rows_gets_an_answer_too(name: str) -> None:
    split, trainer = SPLITS["multiclass"](), trainers()[name]
    features, data = featured(trainer, split)
    problem = Problem(LearningTask.MULTICLASS, 5, 0, 1)
    # Of the five classes only 0, 2 and 4 have rows.
    state = fitted(trainer, problem, data, split.train[1] * 2)
    found = trainer.predict(state, features.transform(split.test[0]))
    assert found.shape == (split.test[0].rows, 5)
    assert found[:, [1, 3]].max() < 0.2


@each_task
@each_trainer
def test_what_is_suggested_can_be_used(name: str, task: str) -> None:
    split, trainer = SPLITS[task](), trainers()[name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        config = trainer.suggest(study.ask(), split.problem, 30)
        assert config is None or type(config).model_validate(config.model_dump()) == config
    assert (config is None) == (name == "dummy")


def test_boosting_answers_as_scikit_learn_does() -> None:
    split = SPLITS["multiclass"]()
    features, data = featured(HIST_GRADIENT_BOOSTING, split)
    state = fitted(HIST_GRADIENT_BOOSTING, split.problem, data, split.train[1])
    unseen = features.transform(split.test[0])
    assert len(unseen.categorical) == 1
    unseen.values[0, unseen.categorical[0]] = 77  # a code that training did not have
    expected = state.model.predict_proba(unseen.values)
    assert np.array_equal(HIST_GRADIENT_BOOSTING.predict(state, unseen), expected)
    # Few rows go another way through the trees.
    few = [Matrix(rows, unseen.categorical, unseen.names, unseen.frame) for rows in np.split(unseen.values, 9)]
    assert np.array_equal(np.concatenate([HIST_GRADIENT_BOOSTING.predict(state, rows) for rows in few]), expected)


def test_a_forest_answers_as_scikit_learn_does() -> None:
    split = SPLITS["binary"]()
    features, data = featured(RANDOM_FOREST, split)
    state = fitted(RANDOM_FOREST, split.problem, data, split.train[1])
    unseen = features.transform(split.test[0])
    assert np.allclose(
        RANDOM_FOREST.predict(state, unseen), state.model.predict_proba(unseen.values), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("index", ["left", "right", "feature_idx"])
def test_a_tree_that_leads_nowhere_is_not_loaded(index: str) -> None:
    split = SPLITS["binary"]()
    _, data = featured(HIST_GRADIENT_BOOSTING, split)
    state = HIST_GRADIENT_BOOSTING.fit(
        HIST_GRADIENT_BOOSTING.start(quick(HIST_GRADIENT_BOOSTING), split.problem), data, split.train[1]
    ).state
    state.model._predictors[0][0].nodes[index][0] = 1_000_000
    with pytest.raises(ModelBroken, match="lead nowhere"):
        HIST_GRADIENT_BOOSTING.load(HIST_GRADIENT_BOOSTING.dump(state))


@each_trainer
def test_bytes_that_are_no_state_are_refused(name: str) -> None:
    with pytest.raises(ModelBroken):
        trainers()[name].load(b"no state at all")
