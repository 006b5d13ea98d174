"""What is measured, and what a reader is warned of."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from consumers.learning.frame import Array, Frame
from consumers.training import evaluation
from consumers.training.advice import warnings
from consumers.training.importance import Judge, importances
from consumers.training.state import Trial
from schemas.datasets import ColumnType
from schemas.learning import InputColumn, LearningTask, Signature, Splitting
from schemas.model_card import Importance, MetricValue

RNG = np.random.default_rng(0)
TARGET = RNG.integers(2, size=2_000)
CERTAIN = np.clip(TARGET * 0.4 + 0.3 + RNG.normal(0, 0.2, 2_000), 0.01, 0.99)
PREDICTED = np.column_stack([1 - CERTAIN, CERTAIN])
NAMES = ["no", "yes"]


def test_curves_of_two_classes_show_the_second() -> None:
    [curve] = evaluation.roc(NAMES, TARGET, PREDICTED)
    assert (curve.label, curve.points[0], curve.points[-1]) == ("yes", (0.0, 0.0), (1.0, 1.0))
    assert curve.area == pytest.approx(roc_auc_score(TARGET, CERTAIN))
    assert len(curve.points) <= 200
    [recall] = evaluation.precision_recall(NAMES, TARGET, PREDICTED)
    assert [x for x, _ in recall.points] == sorted(x for x, _ in recall.points)


def test_classes_without_rows_on_both_sides_are_not_drawn() -> None:
    target = np.array([0, 1, 0, 1])
    predicted = np.full((4, 3), 1 / 3)
    assert [curve.label for curve in evaluation.roc(["a", "b", "c"], target, predicted)] == ["a", "b"]


def test_a_calibrated_model_lies_on_the_diagonal() -> None:
    probability = RNG.uniform(size=50_000)
    happened = (RNG.uniform(size=50_000) < probability).astype(np.int64)
    [found] = evaluation.calibration(NAMES, happened, np.column_stack([1 - probability, probability]))
    assert len(found.bins) == 10
    for each in found.bins:
        assert each.observed == pytest.approx(each.predicted, abs=0.03)
    assert sum(each.count for each in found.bins) == 50_000


def test_confusion_counts_every_row() -> None:
    found = evaluation.confusion(NAMES, TARGET, PREDICTED)
    assert found is not None
    assert [sum(row) for row in found.counts] == np.bincount(TARGET).tolist()
    assert evaluation.confusion([str(each) for each in range(101)], TARGET, PREDICTED) is None


def test_residuals_of_many_rows_are_thinned() -> None:
    actual = RNG.normal(size=5_000)
    found = evaluation.residuals(actual, actual + RNG.normal(size=5_000), seed=0)
    assert len(found.points) == 500
    assert sum(each.count for each in found.histogram) == 5_000


def test_a_column_that_is_not_looked_at_matters_nothing() -> None:
    frame = Frame({"useful": RNG.normal(size=1_000), "noise": RNG.normal(size=1_000)}, 1_000)

    def squared(target: Array, predicted: Array) -> float:
        return float(np.mean((target - predicted) ** 2))

    judge = Judge(lambda given: given.columns["useful"] * 2.0, frame, frame.columns["useful"] * 2.0)
    useful, noise = importances([judge], squared, seed=0, within_s=0, between=lambda: None)
    assert (useful.column, noise.column, noise.mean) == ("useful", "noise", 0.0)
    assert useful.mean == pytest.approx(8.0, rel=0.15), "twice the variance, times four"


def advised(**changes: Any) -> str:
    columns = [InputColumn(name="day", type=ColumnType.DATE, missing=False)]
    signature = Signature(inputs=columns, target="t", task=LearningTask.BINARY, classes=["no", "yes"])
    optimised = MetricValue(name="log-loss", value=0.3, baseline=0.6, greater_is_better=False)
    given = {
        "signature": signature,
        "split": Splitting(kind="time", column="at"),
        "target": np.tile([0, 1], 500),
        "optimised": optimised,
        "importances": [Importance(column="a", mean=0.1, std=0.0)],
        "trials": [Trial(number=0, trainer="dummy", config={})],
    }
    return " ".join(warnings(**{**given, **changes}))


def test_a_sound_training_has_no_warnings() -> None:
    assert advised() == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": Splitting()}, "divided at random although 'day'"),
        ({"target": np.tile([0, 1], 20)}, "from 40 rows"),
        ({"target": np.repeat([0, 1], [990, 10])}, "Class 'yes' has 1.0 %"),
        ({"trials": [Trial(number=0, trainer="knn", config={}, failure="no")]}, "1 of 1 trials failed"),
        (
            {"optimised": MetricValue(name="log-loss", value=0.7, baseline=0.6, greater_is_better=False)},
            "no better than one that looks at no input",
        ),
        (
            {
                "optimised": MetricValue(name="roc-auc", value=0.999, baseline=0.5, greater_is_better=True),
                "importances": [Importance(column="diagnosis_code", mean=0.49, std=0.0)],
            },
            "follows from 'diagnosis_code' alone",
        ),
    ],
)
def test_what_a_reader_is_warned_of(changes: dict[str, Any], said: str) -> None:
    assert said in advised(**changes)
