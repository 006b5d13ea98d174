"""What a model says of rows, for several requests at once, and why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumers.learning.frame import Frame
from consumers.learning.model import Predictions, TrainedModel
from consumers.prediction.answers import Answer, Asked, answers, explanations
from consumers.runtime.verdicts import Reject
from tests.support.models import IRIS_NAMES, IRIS_TYPES, diabetes, iris, train

ROWS: list[dict[str, Any]] = [
    dict(zip(IRIS_NAMES, values, strict=True)) for values in ((5.1, 3.5, 1.4, 0.2), (6.7, 3.0, 5.2, 2.3))
]


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return train(tmp_path_factory.mktemp("iris"), iris(), IRIS_TYPES, "species", iterations=20)


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    table, types = diabetes()
    return train(tmp_path_factory.mktemp("diabetes"), table, types, "progression", iterations=20)


def answered(model: TrainedModel, *asked: Asked) -> list[Answer]:
    found = answers(model, asked)
    assert all(isinstance(each, Answer) for each in found), found
    return [each for each in found if isinstance(each, Answer)]


def test_together_is_the_same_as_one_by_one(flowers: TrainedModel) -> None:
    asked = [Asked(ROWS, explain=True), Asked(ROWS[1:], explain=False), Asked(ROWS[:1] * 3, explain=True)]
    together = answered(flowers, *asked)
    assert together == [answered(flowers, each)[0] for each in asked]
    assert together[0].predictions == ["setosa", "virginica"]
    assert [len(each.predictions) for each in together] == [2, 1, 3]
    assert together[1].explanations is None


@pytest.mark.parametrize("many", [1, 40])
def test_an_explanation_is_the_difference_that_a_typical_value_makes(patients: TrainedModel, many: int) -> None:
    table, _ = diabetes()
    rows = table.drop(["progression"]).slice(0, many).to_pylist()
    (found,) = answered(patients, Asked(rows, explain=True))
    assert found.explanations is not None
    for row, said, explained in zip(rows, found.predictions, found.explanations, strict=True):
        for column in ("bmi", "s5"):
            typical = {**row, column: patients.typical[column]}
            (other,) = answered(patients, Asked([typical], explain=False))
            assert explained[column] == pytest.approx(said - other.predictions[0], abs=1e-9)


def test_many_columns_are_explained_in_parts(flowers: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = answered(flowers, Asked(ROWS, explain=True))
    monkeypatch.setattr("consumers.prediction.answers._ROWS_AT_ONCE", 4)
    (parts,) = answered(flowers, Asked(ROWS, explain=True))
    assert parts == whole


class Touchy(TrainedModel):
    """Cannot stand a row."""

    def __init__(self, model: TrainedModel, refused: float, answer: float | None = None) -> None:
        self.signature, self.typical = model.signature, model.typical
        self._model, self._refused, self._answer = model, refused, answer

    def predict(self, frame: Frame) -> Predictions:
        said = self._model.predict(frame)
        bad = frame.columns["bmi"] == self._refused
        if bad.any() and self._answer is None:
            raise ZeroDivisionError("of this row")
        return Predictions([self._answer if b else v for b, v in zip(bad, said.values, strict=True)], None)


@pytest.mark.parametrize("answer", [None, float("nan"), float("inf")])
def test_a_row_that_fails_fails_only_its_own_request(patients: TrainedModel, answer: float | None) -> None:
    table, _ = diabetes()
    rows: Sequence[dict[str, Any]] = table.drop(["progression"]).slice(0, 8).to_pylist()
    rows[5]["bmi"] = -1.0
    model = Touchy(patients, -1.0, answer)
    found = answers(model, [Asked([row], explain=False) for row in rows])
    failed = [number for number, each in enumerate(found) if isinstance(each, Exception)]
    assert failed == [5]
    assert isinstance(found[5], ZeroDivisionError if answer is None else Reject)


def test_probabilities_add_up(flowers: TrainedModel) -> None:
    frame = Frame({name: np.array([row[name] for row in ROWS]) for name in IRIS_NAMES}, 2)
    said = flowers.predict(frame)
    assert said.probabilities is not None
    explained = explanations(flowers, frame, said)
    assert [set(each) for each in explained] == [set(IRIS_NAMES)] * 2


def test_a_file_brings_the_same_model_back(flowers: TrainedModel, tmp_path: Path) -> None:
    flowers.save(tmp_path / "model.zip")
    again = TrainedModel.load(tmp_path / "model.zip")
    assert answered(again, Asked(ROWS, explain=True)) == answered(flowers, Asked(ROWS, explain=True))
