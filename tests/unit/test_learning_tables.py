"""From what real tables hold to inputs, a target, a signature and rows that are answered."""

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from consumers.encoders.meaning import meanings
from consumers.learning.archive import ModelBroken
from consumers.learning.features import Features, choices
from consumers.learning.frame import Frame
from consumers.learning.plugins import Encoding, Problem
from consumers.learning.preprocessors.categories import TargetMeans
from consumers.learning.rows import check_rows, frame_of, typical_row
from consumers.learning.table import Table, read_table
from consumers.runtime.verdicts import Reject
from schemas.datasets import ColumnType
from schemas.jobs.model_train import TrainModel
from schemas.learning import InputColumn, LearningTask, Preprocessing, Signature

ROWS = 120
Columns = Mapping[str, tuple[pa.Array, ColumnType]]


def gaps(values: list[Any]) -> list[Any]:
    return [None if row % 5 == 3 else value for row, value in enumerate(values)]


def hostile() -> dict[str, tuple[pa.Array, ColumnType]]:
    """What files hold, with two targets: `y` of three classes, and `r` of numbers."""
    x = [float(np.sin(row * 1.7)) for row in range(ROWS)]
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=37 * row) for row in range(ROWS)]
    times = [dt.datetime(1999, 12, 31, 23, 59) + dt.timedelta(hours=7 * row) for row in range(ROWS)]  # noqa: DTZ001
    extreme = [np.inf if row % 17 == 0 else -np.inf if row % 13 == 0 else v * 1e300 for row, v in enumerate(x)]
    kind = ColumnType
    return {
        "huge": (pa.array([int(v * 2**62) for v in x], pa.int64()), kind.INTEGER),
        "extreme": (pa.array(extreme), kind.FLOAT),
        "gaps": (pa.array(gaps(x)), kind.FLOAT),
        "nothing": (pa.nulls(ROWS), kind.TEXT),
        "no numbers": (pa.nulls(ROWS, pa.float64()), kind.FLOAT),
        "constant": (pa.array([3] * ROWS), kind.INTEGER),
        "there or not": (pa.array(gaps([3] * ROWS)), kind.INTEGER),
        "day": (pa.array(gaps(days), pa.date32()), kind.DATE),
        "ends of time": (pa.array([dt.date.min, dt.date.max] * (ROWS // 2), pa.date32()), kind.DATE),
        "time": (pa.array(times, pa.timestamp("us")), kind.TIMESTAMP),
        "zoned": (pa.array(gaps(times), pa.timestamp("ms", "UTC")), kind.TIMESTAMP),
        "price": (pa.array([Decimal(f"{v:.3f}") for v in x], pa.decimal128(12, 3)), kind.FLOAT),
        "colour": (pa.array(gaps(["red", "d'\"é☃", "blue", "x"] * 30)).dictionary_encode(), kind.CATEGORY),
        "nested": (pa.array([json.dumps({"a": row}) for row in range(ROWS)]), kind.JSON),
        "flag": (pa.array(gaps([v > 0 for v in x])), kind.BOOLEAN),
        "comment": (
            pa.array(gaps([f"the word {r % 7} is better than {r % 5} or {r}" for r in range(ROWS)])),
            kind.TEXT,
        ),
        "blank": (pa.array(["", "  "] * (ROWS // 2)), kind.CATEGORY),
        "shop": (pa.array([f"shop {row % 60}" for row in range(ROWS)]), kind.CATEGORY),
        "code": (pa.array([f"k{row}" for row in range(ROWS)]), kind.TEXT),
        "row": (pa.array(range(1, ROWS + 1)), kind.INTEGER),
        "customer_id": (pa.array([row * 7919 % 10_007 for row in range(ROWS)]), kind.INTEGER),
        "a.b": (pa.array(x), kind.FLOAT),
        "A.B": (pa.array([v**3 for v in x]), kind.FLOAT),
        'a/b~ ünï ☃ [x]{}":,': (pa.array([-v for v in x]), kind.FLOAT),
        "y": (
            pa.array([None if r % 20 == 0 else "rare" if r == 7 else str(v > 0) for r, v in enumerate(x)]),
            kind.TEXT,
        ),
        "r": (pa.array([None if r % 20 == 0 else np.nan if r == 3 else v + r for r, v in enumerate(x)]), kind.FLOAT),
    }


def params(target: str = "y", **more: Any) -> TrainModel:
    return TrainModel(name="m", dataset_id="0" * 32, version="0" * 12, target=target, **more)


def read(folder: Path, columns: Columns, asked: TrainModel) -> Table:
    path = folder / "table.parquet"
    pq.write_table(pa.table({name: values for name, (values, _) in columns.items()}), path)
    return read_table(path, {name: kind for name, (_, kind) in columns.items()}, asked)


def targets(*values: Any, kind: ColumnType) -> Columns:
    repeated = [values[row % len(values)] for row in range(ROWS)]
    return {"x": (pa.array(np.arange(ROWS) ** 1.5), ColumnType.FLOAT), "y": (pa.array(repeated), kind)}


def test_what_says_nothing_is_left_out_with_a_warning(tmp_path: Path) -> None:
    table = read(tmp_path, hostile(), params(exclude=["r"]))
    names = {column.name for column in table.signature.inputs}
    assert names.isdisjoint({"nothing", "no numbers", "constant", "nested", "code", "row", "customer_id", "r", "y"})
    assert {"there or not", "a.b", "A.B", 'a/b~ ünï ☃ [x]{}":,', "shop", "blank"} <= names
    told = " ".join(table.warnings)
    assert "6 of 120 rows have no value in 'y'" in told
    assert "have one row each, too few to be learned and judged: 'rare'" in told
    assert "Nested values are no inputs: 'nested'" in told
    assert "all rows are alike were left out: 'nothing', 'no numbers', 'constant'" in told
    assert "only number or name the rows were left out: 'code', 'row', 'customer_id'" in told


@pytest.mark.parametrize("target", ["y", "r"])
@pytest.mark.parametrize("encoding", [Encoding.TREES, Encoding.DENSE])
def test_anything_becomes_features(tmp_path: Path, target: str, encoding: Encoding) -> None:
    table = read(tmp_path, hostile(), params(target, exclude=["r" if target == "y" else "y"]))
    problem = Problem(table.signature.task, len(table.signature.classes or ()), 0, 1)
    inputs = table.signature.inputs
    features, data = Features.fitted(table.frame, table.target, inputs, choices(inputs), encoding, problem)
    assert data.values.shape == (len(table.target), len(data.names))
    assert not np.isinf(data.values).any()
    if encoding is Encoding.DENSE:
        assert not np.isnan(data.values).any()
        assert np.abs(data.values).max() <= 10
        assert data.categorical == []
    else:
        assert [data.names[number] for number in data.categorical] == ["colour", "blank", "shop"]
    again = Features.load(features.dump())
    assert np.array_equal(features.transform(table.frame).values, again.transform(table.frame).values, equal_nan=True)
    assert again.dump() == features.dump()


def test_rows_of_the_table_read_like_the_table(tmp_path: Path) -> None:
    columns = hostile()
    table = read(tmp_path, columns, params(exclude=["r", "huge", "extreme", "price"]))
    raw = pa.table({name: values for name, (values, _) in columns.items()}).to_pylist()
    rows = [
        {name: value.isoformat() if isinstance(value, dt.date) else value for name, value in row.items()}
        for row in raw
        if row["y"] is not None
    ]
    frame = frame_of(rows, table.signature)
    for name, values in table.frame.columns.items():
        same = values == frame.columns[name]
        assert np.all(same | ((values != values) & (frame.columns[name] != frame.columns[name]))), name
    warned = {warning.column for warning in check_rows(rows, table.signature)}
    assert warned <= columns.keys() - {column.name for column in table.signature.inputs}


def test_a_typical_row_is_one_of_the_table(tmp_path: Path) -> None:
    table = read(tmp_path, hostile(), params(exclude=["r"]))
    typical = typical_row(table.frame, table.signature)
    assert check_rows([typical], table.signature) == []
    assert (typical["flag"], typical["there or not"]) == (True, 3)
    assert typical["day"] == "2025-12-23"


@pytest.mark.parametrize(
    ("columns", "task", "classes"),
    [
        (targets("no", "yes", kind=ColumnType.CATEGORY), LearningTask.BINARY, ["no", "yes"]),
        (targets(True, False, kind=ColumnType.BOOLEAN), LearningTask.BINARY, [False, True]),
        (targets(0, 1, None, kind=ColumnType.INTEGER), LearningTask.BINARY, [0, 1]),
        (targets(3, 1, 2, kind=ColumnType.INTEGER), LearningTask.MULTICLASS, [1, 2, 3]),
        (targets(1.0, 0.0, kind=ColumnType.FLOAT), LearningTask.BINARY, [0.0, 1.0]),
        (targets(0.5, 1.5, kind=ColumnType.FLOAT), LearningTask.REGRESSION, None),
        (targets(*range(40), kind=ColumnType.INTEGER), LearningTask.REGRESSION, None),
    ],
)
def test_the_task_follows_from_the_target(
    tmp_path: Path, columns: Columns, task: LearningTask, classes: list[Any] | None
) -> None:
    table = read(tmp_path, columns, params())
    assert (table.signature.task, table.signature.classes) == (task, classes)
    assert table.target.dtype == (np.float64 if classes is None else np.int64)
    if classes is not None:
        assert [type(value) for value in table.signature.classes or ()] == [type(value) for value in classes]


def test_a_task_that_is_asked_for_holds(tmp_path: Path) -> None:
    numbers = targets(1, 2, 3, kind=ColumnType.INTEGER)
    assert read(tmp_path, numbers, params(task="regression")).signature.task is LearningTask.REGRESSION
    many = targets(*range(40), kind=ColumnType.INTEGER)
    assert len(read(tmp_path, many, params(task="multiclass")).signature.classes or ()) == 40


@pytest.mark.parametrize(
    ("columns", "asked", "complaint"),
    [
        (targets("a", kind=ColumnType.CATEGORY), params(), "/params/target: every row has the same value in 'y'"),
        (targets(None, kind=ColumnType.TEXT), params(), "/params/target: no row has a value in 'y'"),
        (
            targets(*map(str, range(60)), kind=ColumnType.TEXT),
            params(),
            "/params/target: 'y' has 60 different values",
        ),
        (targets("{}", "[]", kind=ColumnType.JSON), params(), "/params/target: 'y' is of type json"),
        (
            targets("a", "b", kind=ColumnType.TEXT),
            params(task="regression"),
            "/params/task: a regression needs numbers",
        ),
        (targets(1, 2, 3, kind=ColumnType.INTEGER), params(task="binary"), "/params/task: binary needs two classes"),
        (targets(1, 2, kind=ColumnType.INTEGER), params(task="multiclass"), "/params/task: 'y' has two classes"),
        (
            targets(1, 2, kind=ColumnType.INTEGER),
            params("z"),
            "/params/target: there is no column 'z'; there are 'x'",
        ),
        (targets(1, 2, kind=ColumnType.INTEGER), params(exclude=["z"]), "/params/exclude/0: there is no column 'z'"),
        (targets(1, 2, kind=ColumnType.INTEGER), params(exclude=["x"]), "/params/exclude: no column is left"),
        (targets(1, *[None] * 118, 2, kind=ColumnType.INTEGER), params(), "/params/version: 2 rows have a target"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(
    tmp_path: Path, columns: Columns, asked: TrainModel, complaint: str
) -> None:
    with pytest.raises(Reject) as refused:
        read(tmp_path, columns, asked)
    assert refused.value.detail.startswith(complaint)


def test_a_column_to_split_by_is_read_and_no_input(tmp_path: Path) -> None:
    columns = {**targets("a", "b", None, kind=ColumnType.TEXT), "who": (pa.array(range(ROWS)), ColumnType.INTEGER)}
    table = read(tmp_path, columns, params(split={"kind": "grouped", "column": "who"}))
    assert [column.name for column in table.signature.inputs] == ["x"]
    assert table.split_by is not None
    assert len(table.split_by) == len(table.target) == 80


def test_five_hundred_columns(tmp_path: Path) -> None:
    wide = {f"c{number}": (pa.array(np.cos(np.arange(ROWS) * number)), ColumnType.FLOAT) for number in range(500)}
    table = read(tmp_path, {**wide, **targets(1, 2, kind=ColumnType.INTEGER)}, params())
    assert len(table.signature.inputs) == 500  # c0 is constant, and x is one more


def test_what_a_preprocessor_gets_can_be_chosen() -> None:
    inputs = [
        InputColumn(name="comment", type=ColumnType.TEXT, missing=False),
        InputColumn(name="age", type=ColumnType.INTEGER, missing=False),
    ]
    chosen = choices(inputs, [Preprocessing(use="categories", columns=["comment"], config={"one_hot_up_to": 5})])
    assert (chosen["comment"].plugin.name, chosen["age"].plugin.name) == ("categories", "numbers")


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (Preprocessing(use="magic", columns=["age"]), "/params/preprocess/0/use: there is no 'magic'"),
        (
            Preprocessing(use="dates", columns=["age"]),
            "/params/preprocess/0/columns/0: 'dates' takes no column of type",
        ),
        (Preprocessing(use="numbers", columns=["size"]), "/params/preprocess/0/columns/0: 'size' is no input column"),
        (Preprocessing(use="numbers", columns=["age", "age"]), "/params/preprocess/0/columns/1: 'age' is given to a"),
        (Preprocessing(use="categories", columns=["age"], config={"a": 1}), "/params/preprocess/0/config/a: Extra"),
    ],
)
def test_a_wrong_choice_is_named(wanted: Preprocessing, complaint: str) -> None:
    with pytest.raises(Reject) as refused:
        choices([InputColumn(name="age", type=ColumnType.INTEGER, missing=False)], [wanted])
    assert refused.value.detail.startswith(complaint)


def test_mean_targets_do_not_tell_a_row_its_own_target() -> None:
    """Of a category with a row of its own for each row, the target must not be readable from the feature."""
    inputs = [InputColumn(name="who", type=ColumnType.CATEGORY, missing=False)]
    rng = np.random.default_rng(0)
    who = np.array([f"w{row % 200}" for row in range(400)], object)
    target = rng.integers(0, 2, 400)
    chosen = choices(inputs, [Preprocessing(use="categories", columns=["who"], config={"at_least": 1})])
    frame = frame_of([{"who": value} for value in who], signature(inputs))
    problem = Problem(LearningTask.BINARY, 2, 0, 1)
    _, data = Features.fitted(frame, target, inputs, chosen, Encoding.DENSE, problem)
    assert abs(np.corrcoef(data.values[:, 0], target)[0, 1]) < 0.2


def signature(inputs: list[InputColumn]) -> Signature:
    return Signature(inputs=inputs, target="y", task=LearningTask.BINARY, classes=[0, 1])


PEOPLE = signature(
    [
        InputColumn(name="age", type=ColumnType.INTEGER, missing=False, min=18, max=90),
        InputColumn(name="a/b", type=ColumnType.FLOAT, missing=True, min=0.0, max=1.0),
        InputColumn(name="city", type=ColumnType.CATEGORY, missing=True, categories=["Bern", "Rome"]),
        InputColumn(name="since", type=ColumnType.DATE, missing=True, min=0.0, max=86_400.0),
        InputColumn(name="member", type=ColumnType.BOOLEAN, missing=True, categories=["false", "true"]),
    ]
)
FITS = {"age": 30, "a/b": 0.5, "city": "Bern", "since": "1970-01-02", "member": True}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"age": "old"}, "/params/rows/1/age: expected a whole number, not 'old'"),
        ({"age": 30.5}, "/params/rows/1/age: expected a whole number, not 30.5"),
        ({"age": True}, "/params/rows/1/age: expected a whole number, not True"),
        ({"age": None}, "/params/rows/1/age: a value is needed, a whole number"),
        ({"age": 10**400}, "/params/rows/1/age: expected a whole number, not 1000"),
        ({"a/b": [1]}, "/params/rows/1/a~1b: expected a number, not [1]"),
        ({"city": 3}, "/params/rows/1/city: expected text, not 3"),
        ({"since": "yesterday"}, "/params/rows/1/since: expected a date like '2026-12-31', not 'yesterday'"),
        ({"member": 1}, "/params/rows/1/member: expected true or false, not 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Reject) as refused:
        check_rows([FITS, {**FITS, **change}], PEOPLE)
    assert refused.value.detail.startswith(complaint)


def test_all_wrong_values_are_named_up_to_twenty() -> None:
    with pytest.raises(Reject) as refused:
        check_rows([{**FITS, "age": "x", "member": 0}] * 50, PEOPLE)
    assert refused.value.detail.count("/params/rows/") == 20
    assert refused.value.detail.endswith("and more")


@pytest.mark.parametrize(
    ("row", "column", "detail"),
    [
        ({**FITS, "age": 91}, "age", "91 is outside of what was seen in training, 18 to 90"),
        ({**FITS, "city": "Oslo"}, "city", "'Oslo' is none of the 2 values seen in training"),
        ({**FITS, "since": "1999-01-01"}, "since", "1999-01-01 is outside of what was seen"),
        ({**FITS, "extra": 1}, "extra", "no input of this model: ignored"),
        (
            {name: value for name, value in FITS.items() if name != "city"},
            "city",
            "not in the row: taken for missing",
        ),
    ],
)
def test_a_value_unlike_training_gets_a_warning(row: dict[str, Any], column: str, detail: str) -> None:
    (warning,) = check_rows([FITS, row], PEOPLE)
    assert (warning.row, warning.column) == (1, column)
    assert warning.detail.startswith(detail)


def test_nothing_is_said_of_rows_like_those_of_training() -> None:
    rows = [FITS, {**FITS, "city": None, "a/b": None, "age": 30.0, "y": 1}]
    assert check_rows(rows, PEOPLE) == []
    frame = frame_of(rows, PEOPLE)
    assert frame.columns["age"].tolist() == [30.0, 30.0]
    assert frame.columns["city"].tolist() == ["Bern", None]
    assert frame.columns["since"].tolist() == [86_400.0, 86_400.0]


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("rows", [40, 12_000])
def test_mean_targets_are_those_of_scikit_learn_fold_by_fold(classes: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    values = np.array([None, *"abcdefgh", "rare"], object)[rng.integers(10, size=rows)][:, np.newaxis]
    target = rng.integers(classes, size=rows) if classes else rng.normal(size=rows)
    encoder = TargetMeans(at_least=3, seed=1, classes=classes)
    found = encoder.fit_transform(values, target)
    numbers = encoder.numbers(values)[:, np.newaxis]
    scaled = (target - target.mean()) / target.std()
    wanted = [scaled] if classes == 0 else [(target == each).astype(float) for each in range(classes)][classes == 2 :]
    for at, each in enumerate(wanted):
        theirs = TargetEncoder(target_type="continuous", cv=KFold(5, shuffle=True, random_state=1))
        np.testing.assert_allclose(found[:, at], theirs.fit_transform(numbers, each)[:, 0], atol=1e-12)
        np.testing.assert_allclose(encoder.transform(values)[:, at], theirs.transform(numbers)[:, 0], atol=1e-12)


def test_texts_are_embedded_alone_and_the_same_after_storing() -> None:
    distinct = [
        "The mill turns.",
        "A mill is turning.",
        "Quorum queues replicate.",
        "Raft logs.",
        None,
        "",
    ]
    texts = np.array(distinct * 3, object)
    column = InputColumn(name="text", type=ColumnType.TEXT, missing=True)
    task = Problem(LearningTask.BINARY, 2, 0, 1)
    chosen = choices([column], [Preprocessing(use="text-embedding", columns=["text"], config={"dimensions": 3})])
    frame = Frame({"text": texts}, len(texts))
    features, matrix = Features.fitted(frame, np.zeros(len(texts)), [column], chosen, Encoding.DENSE, task)
    assert matrix.names == ["text_0", "text_1", "text_2"]
    mill, milling, queues = matrix.values[:3]
    assert np.linalg.norm(mill - milling) < np.linalg.norm(mill - queues)
    vectors, content = meanings().of(texts), features.dump()
    meanings.cache_clear()
    assert (meanings().of(texts[::-1]) == vectors[::-1]).all(), "to the bit, whatever else is asked for"
    again = Features.load(content)
    assert (again.transform(frame).values == matrix.values).all()
    assert again.dump() == content
    again.columns[0].transformer.encoder_ = "another"
    with pytest.raises(ModelBroken, match="other weights"):
        again.transform(frame)
