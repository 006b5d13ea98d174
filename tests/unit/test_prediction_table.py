"""A table with predictions beside its rows."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consumers.learning.model import TrainedModel
from consumers.prediction import table as module
from consumers.prediction.table import Written, predict_table
from consumers.runtime.verdicts import Reject
from schemas.datasets import Column, ColumnType
from tests.support.models import IRIS_NAMES, IRIS_TYPES, diabetes, iris, train


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return train(tmp_path_factory.mktemp("iris"), iris(), IRIS_TYPES, "species", iterations=20)


def columns(types: dict[str, ColumnType]) -> list[Column]:
    return [Column(name=name, type=kind, missing=0) for name, kind in types.items()]


def predicted(
    model: TrainedModel, table: pa.Table, types: dict[str, ColumnType], folder: Path
) -> tuple[Written, pa.Table]:
    pq.write_table(table, folder / "in.parquet")
    steps: list[float] = []
    into = folder / "out.parquet"
    written = predict_table(
        model, folder / "in.parquet", columns(types), into, lambda share, _message: steps.append(share)
    )
    assert steps == sorted(steps)
    return written, pq.read_table(into)


def test_every_row_has_its_prediction_whatever_the_batches(
    flowers: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predicted(flowers, iris(), IRIS_TYPES, tmp_path)
    monkeypatch.setattr(module, "_MOST_ROWS", 64)
    written, table = predicted(flowers, iris(), IRIS_TYPES, tmp_path)
    assert table == whole[1]
    assert written.rows == table.num_rows == 150
    assert [column.name for column in written.columns] == table.column_names
    assert written.columns[5].type is ColumnType.CATEGORY
    shares = [table[f"probability_{name}"].to_pylist() for name in flowers.signature.classes or ()]
    assert all(sum(row) == pytest.approx(1) for row in zip(*shares, strict=True))
    assert written.warnings == []
    digests = set()
    for _ in range(2):
        predicted(flowers, iris(), IRIS_TYPES, tmp_path)
        digests.add(hashlib.sha256((tmp_path / "out.parquet").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_number_is_predicted_beside_a_column_of_that_name(tmp_path: Path) -> None:
    table, types = diabetes()
    model = train(tmp_path, table, types, "progression", iterations=20)
    named = table.append_column("Prediction", table["age"])
    written, found = predicted(model, named, {**types, "Prediction": ColumnType.FLOAT}, tmp_path)
    assert found.column_names[-2:] == ["Prediction", "prediction_2"]
    assert written.columns[-1].type is ColumnType.FLOAT


def test_what_training_had_not_is_counted(flowers: TrainedModel, tmp_path: Path) -> None:
    rows = iris().slice(0, 3).to_pydict()
    rows["petal_width"][0] = 99.0
    rows["petal_length"][1] = None
    written, table = predicted(flowers, pa.table(rows), IRIS_TYPES, tmp_path)
    assert written.warnings == [
        "petal_length: 1 rows have no value, and training had one in every row",
        "petal_width: 1 rows have a value unlike those in training",
    ]
    assert table["prediction"].null_count == 0


def test_no_rows_are_a_table_too(flowers: TrainedModel, tmp_path: Path) -> None:
    written, table = predicted(flowers, iris().slice(0, 0), IRIS_TYPES, tmp_path)
    assert (written.rows, table.num_rows, len(table.column_names)) == (0, 0, 9)


def test_a_table_that_lacks_an_input_or_has_another_type_is_refused(flowers: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(Reject, match=r"^/params/dataset_version: it lacks the inputs 'petal_width'"):
        predicted(
            flowers, iris().drop(["petal_width"]), {name: IRIS_TYPES[name] for name in IRIS_NAMES[:3]}, tmp_path
        )
    with pytest.raises(Reject, match="'petal_width' is category, not float"):
        predicted(flowers, iris(), {**IRIS_TYPES, "petal_width": ColumnType.CATEGORY}, tmp_path)
