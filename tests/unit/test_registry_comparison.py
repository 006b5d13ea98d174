"""How two versions of a model differ, by their cards."""

from datetime import UTC, datetime
from typing import Any

from gateway.comparison import compare
from schemas.datasets import ColumnType
from schemas.learning import InputColumn, LearningTask, Lineage, Signature
from schemas.model_card import MetricValue, ModelCard, Trial


def card(**changes: Any) -> ModelCard:
    origin = Lineage(
        dataset_id="1" * 32,
        dataset_name="people",
        dataset_version="2" * 12,
        table_sha256="3" * 64,
        rows=600,
        job_id="4" * 32,
        code_version="1",
        seed=0,
    )
    inputs = [InputColumn(name="age", type=ColumnType.INTEGER, missing=False, min=0, max=90)]
    given: dict[str, Any] = {
        "model_id": "5" * 32,
        "name": "m",
        "version": "6" * 12,
        "created_at": datetime(2026, 11, 24, tzinfo=UTC),
        "seconds": 1,
        "task": LearningTask.REGRESSION,
        "metric": "rmse",
        "estimated_by": "holdout",
        "evaluated_rows": 120,
        "metrics": [
            MetricValue(name="rmse", value=2, baseline=5, greater_is_better=False),
            MetricValue(name="r2", value=0.8, baseline=0, greater_is_better=True),
        ],
        "signature": Signature(inputs=inputs, target="income", task=LearningTask.REGRESSION),
        "origin": origin,
        "params": {"name": "m", "trainer": "auto", "split": {"kind": "random"}},
        "trials": [Trial(number=0, trainer="linear", config={}, score=2, seconds=1, weight=1)],
        "importances": [],
        "warnings": [],
    }
    return ModelCard(**(given | changes))


def test_a_card_does_not_differ_from_itself() -> None:
    found = compare(card(), card())
    assert (found.settings, found.signature, found.data, found.comparable) == ([], [], [], True)
    assert [metric.better for metric in found.metrics] == [None, None]


def test_better_follows_the_metrics_own_direction() -> None:
    metrics = [
        MetricValue(name="rmse", value=1, baseline=5, greater_is_better=False),
        MetricValue(name="r2", value=0.7, baseline=0, greater_is_better=True),
        MetricValue(name="mae", value=1, baseline=4, greater_is_better=False),
    ]
    found = compare(card(), card(metrics=metrics))
    assert {m.name: (m.a, m.b, m.better) for m in found.metrics} == {
        "rmse": (2, 1, "b"),
        "r2": (0.8, 0.7, "a"),
        "mae": (None, 1, None),
    }


def test_every_kind_of_difference_is_named() -> None:
    old = card()
    other = [
        InputColumn(name="age", type=ColumnType.FLOAT, missing=False, min=0, max=90),
        InputColumn(name="city", type=ColumnType.CATEGORY, missing=True, categories=["Bern"]),
    ]
    new = card(
        signature=old.signature.model_copy(update={"inputs": other}),
        origin=old.origin.model_copy(update={"rows": 700, "table_sha256": "7" * 64}),
        params={"name": "n", "trainer": "linear", "split": {"kind": "time"}},
        trials=[Trial(number=3, trainer="lightgbm", config={"leaves": 4}, score=1, seconds=1, weight=1)],
    )
    found = compare(old, new)
    assert [each.what for each in found.settings] == ["trainer", "split", "best trainer", "best config"]
    assert [each.what for each in found.signature] == ["input age", "input city"]
    assert found.signature[1].a is None
    assert [each.what for each in found.data] == ["table_sha256", "rows"]
    assert not found.comparable, "judged on other rows"
