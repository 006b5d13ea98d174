"""A whole profile against figures computed plainly: of the standard library's files, and of hostile tables."""

import ast
import math
import statistics
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consumers.profiling.engine import Limits, profile
from consumers.tables.parquet import parquet_writer
from schemas.datasets import ColumnType
from schemas.profile import AlertKind, ColumnProfile, DatasetProfile, SemanticType

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
INF, NAN = math.inf, math.nan


def profiled(
    table: pa.Table, folder: Path, target: str | None = None, limits: Limits | None = None
) -> DatasetProfile:
    parquet = folder / "table.parquet"
    with parquet_writer(parquet, table.schema) as writer:
        writer.write_table(table)
    found = profile(parquet, name="t", target=target, limits=limits or Limits(), now=NOW)
    assert DatasetProfile.model_validate_json(found.model_dump_json()) == found
    return found


def column(found: DatasetProfile, name: str) -> ColumnProfile:
    return next(column for column in found.columns if column.name == name)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Modules of the standard library, as a table that somebody might upload."""
    home = Path(ast.__file__).parent
    return [_module(path, home) for path in sorted(home.glob("*.py"))] + [
        _module(path, home) for path in sorted((home / "encodings").glob("*.py"))
    ]


def _module(path: Path, home: Path) -> dict[str, Any]:
    text = path.read_text(errors="replace")
    return {
        "path": f"lib/{path.relative_to(home)}",
        "package": path.parent.name,
        "size": len(text),
        "density": len(text) / text.count("\n") if "\n" in text else None,
        "classes": text.count("\nclass "),
        "doc": ast.get_docstring(ast.parse(text)),
        "at": datetime.fromtimestamp(int(path.stat().st_mtime), UTC).replace(tzinfo=None),
    }


@pytest.fixture(scope="module")
def library(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> DatasetProfile:
    return profiled(pa.Table.from_pylist(rows), tmp_path_factory.mktemp("library"), target="package")


@pytest.mark.parametrize("name", ["size", "density", "classes"])
def test_numbers_are_those_of_the_textbook(rows: list[dict[str, Any]], library: DatasetProfile, name: str) -> None:
    values = [row[name] for row in rows if row[name] is not None]
    found = column(library, name)
    numbers = found.numbers
    assert numbers is not None
    assert (found.count, found.missing) == (len(values), len(rows) - len(values))
    assert (numbers.min, numbers.max) == (min(values), max(values))
    assert found.distinct.value == len(set(values))
    assert numbers.mean == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert numbers.std == pytest.approx(statistics.stdev(values), rel=1e-12)
    assert numbers.zeros == values.count(0)
    assert numbers.skewness == pytest.approx(skewness(values))
    assert numbers.kurtosis == pytest.approx(kurtosis(values))
    for level, measured in numbers.quantiles.items():
        assert measured.error is None
        assert measured.value == pytest.approx(np.quantile(values, float(level)), rel=1e-12)
    assert numbers.outliers is not None
    low, high = numbers.outliers.low, numbers.outliers.high
    assert numbers.outliers.count == sum(not low <= value <= high for value in values)
    for part in numbers.histogram[:-1]:
        assert part.count == sum(part.low <= value < part.high for value in values)
    assert sum(part.count for part in numbers.histogram) == len(values)


def skewness(values: list[float]) -> float:
    n, z = len(values), (np.array(values) - np.mean(values)) / np.std(values)
    return float(math.sqrt(n * (n - 1)) / (n - 2) * np.mean(z**3))


def kurtosis(values: list[float]) -> float:
    n, z = len(values), (np.array(values) - np.mean(values)) / np.std(values)
    return float((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (np.mean(z**4) - 3) + 6))


def test_text_is_measured_in_characters(rows: list[dict[str, Any]], library: DatasetProfile) -> None:
    docs = [row["doc"] for row in rows if row["doc"] is not None]
    found = column(library, "doc")
    assert found.text is not None
    assert (found.count, found.text.min_length) == (len(docs), min(map(len, docs)))
    assert found.text.max_length == max(map(len, docs))
    assert found.text.mean_length == pytest.approx(statistics.fmean(map(len, docs)))
    assert sum(part.count for part in found.text.lengths) == len(docs)
    assert found.distinct.value == len(set(docs))
    assert found.semantic is not None
    assert found.semantic.type is SemanticType.FREE_TEXT


def test_frequent_values_are_counted(rows: list[dict[str, Any]], library: DatasetProfile) -> None:
    counts = Counter(row["package"] for row in rows)
    found = column(library, "package")
    assert found.type is ColumnType.CATEGORY, "undeclared text with two values"
    assert {entry.value: entry.count for entry in found.top} == counts
    path = column(library, "path").semantic
    assert path is not None
    assert path.type is SemanticType.FILE_PATH


def test_times_are_in_utc(rows: list[dict[str, Any]], library: DatasetProfile) -> None:
    times = column(library, "at").times
    assert times is not None
    assert times.min == min(row["at"] for row in rows).replace(tzinfo=UTC)
    assert sum(part.count for part in times.histogram) == len(rows)


def test_what_is_missing_together(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None, None, 4], "b": [None, None, None, 1.5], "c": ["x", "y", "y", "z"]})
    found = profiled(table, tmp_path)
    assert found.missing_cells == 5
    assert [(pattern.columns, pattern.count) for pattern in found.missing_patterns] == [(["a", "b"], 2), (["b"], 1)]
    assert found.duplicate_rows.value == 1


def test_integers_keep_all_of_their_digits(tmp_path: Path) -> None:
    extremes = [-(2**63), 2**63 - 1, 0, 1, -1]
    near = [2**62 + number for number in range(5)]
    found = profiled(pa.table({"extremes": extremes, "near": near, "wide": pa.array(near, pa.uint64())}), tmp_path)
    numbers = column(found, "extremes").numbers
    assert numbers is not None
    assert (numbers.min, numbers.max, numbers.mean) == (-(2**63), 2**63 - 1, -0.2)
    assert numbers.std == pytest.approx(statistics.stdev(map(float, extremes)))
    for name in ("near", "wide"):
        close = column(found, name)
        assert close.numbers is not None
        assert close.numbers.std == pytest.approx(statistics.stdev(range(5))), "lost if the values were doubles"
        assert close.monotonic == "strictly-increasing"


def test_infinite_values_and_nan_are_counted_and_left_out(tmp_path: Path) -> None:
    table = pa.table({"x": [1.0, INF, 3.0, -INF, NAN, None], "none": [INF, NAN, INF, INF, INF, INF]})
    found = profiled(table, tmp_path)
    x = column(found, "x")
    assert x.numbers is not None
    assert (x.count, x.numbers.infinite, x.numbers.mean, x.numbers.max) == (5, 3, 2.0, 3.0)
    assert column(found, "none").numbers is None, "nothing finite to tell of"
    assert AlertKind.INFINITE in {alert.kind for alert in found.alerts}


@pytest.mark.parametrize("scale", [1e-320, 1e-150, 1.0, 1e150, 1.5e308])
def test_moments_neither_overflow_nor_cancel(tmp_path: Path, scale: float) -> None:
    table = pa.table({"x": [scale, -scale, scale / 2, 0.0, scale], "far": [1e12 + step for step in (0, 1, 2, 3, 4)]})
    found = profiled(table, tmp_path)
    numbers, far = column(found, "x").numbers, column(found, "far").numbers
    assert numbers is not None
    assert far is not None
    assert numbers.std == pytest.approx(statistics.stdev([1, -1, 0.5, 0, 1]) * scale, rel=1e-3)
    assert numbers.skewness == pytest.approx(skewness([1, -1, 0.5, 0, 1]), rel=1e-2)
    assert far.std == pytest.approx(statistics.stdev(range(5)))


def test_nothing_is_told_of_nothing(tmp_path: Path) -> None:
    types = [pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.string()]
    for rows in (0, 3):
        found = profiled(pa.table({str(kind): pa.array([None] * rows, kind) for kind in types}), tmp_path)
        assert found.rows == rows
        for each in found.columns:
            assert (each.count, each.missing, each.distinct.value) == (0, rows, 0)
            assert not any([each.constant, each.unique, each.top, each.numbers, each.times, each.text])
    assert profiled(pa.table({}), tmp_path).columns == []


def test_names_of_columns_are_only_names(tmp_path: Path) -> None:
    names = ['"', "o'clock", "a.b", " ", "", "new\nline", "A", "a", "file_row_number", "r", "c0", "名前", "🙂", "שם"]
    table = pa.table([pa.array([number, number + 1]) for number in range(len(names))], names=names)
    found = profiled(table, tmp_path, target="a.b")
    assert [each.name for each in found.columns] == names
    assert [each.numbers.min for each in found.columns if each.numbers] == list(range(len(names)))
    assert all(each.monotonic == "strictly-increasing" for each in found.columns)


def test_values_of_text_are_only_values(tmp_path: Path) -> None:
    values = ["", " \t", "\u00a0\u3000", "👩‍🔬", "مرحبا", "nul\x00", "'; DROP TABLE t; --", "x" * 1_000_000]
    found = profiled(pa.table({"v": values * 2}), tmp_path).columns[0]
    assert found.text is not None
    assert (found.text.blank, found.text.max_length, found.distinct.value) == (6, 1_000_000, len(values))
    assert {str(entry.value)[:9] for entry in found.top} == {value[:9] for value in values}


def test_times_beyond_what_python_can_tell(tmp_path: Path) -> None:
    table = pa.table(
        {"at": pa.array([-(2**62), 2**62], pa.timestamp("us")), "day": pa.array([-(2**31), 2**31 - 1], pa.date32())}
    )
    for each in profiled(table, tmp_path).columns:
        assert each.times is not None
        assert (each.times.min.year, each.times.max.year, each.times.future) == (1, 9999, 1)


def test_what_is_stored_otherwise_is_read_as_something_known(tmp_path: Path) -> None:
    table = pa.table(
        {
            "nested": [{"a": [1]}, {"a": []}],
            "bytes": [b"ab", b"\xff"],
            "decimal": pa.array(["1.5", "2.5"]).cast(pa.decimal128(9, 2)),
            "zoned": pa.array([0, 1], pa.timestamp("ns", "Europe/Berlin")),
        }
    )
    types = [each.type for each in profiled(table, tmp_path).columns]
    assert types == [ColumnType.JSON, ColumnType.TEXT, ColumnType.FLOAT, ColumnType.TIMESTAMP]


def test_the_file_says_what_is_a_category(tmp_path: Path) -> None:
    declared = pa.field("v", pa.string(), metadata={b"millrace.type": b"category"})
    found = profiled(pa.table([["a", "b", "c"]], schema=pa.schema([declared])), tmp_path)
    assert found.columns[0].type is ColumnType.CATEGORY


def test_what_ingestion_found_goes_before_what_the_file_looks_like(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["[1]", "[2]"], "b": ["x", "y"]}), tmp_path / "t.parquet")
    types = {"a": ColumnType.JSON, "b": ColumnType.CATEGORY}
    found = profile(tmp_path / "t.parquet", name="t", types=types)
    assert {each.name: each.type for each in found.columns} == types


def test_thousands_of_columns(tmp_path: Path) -> None:
    table = pa.table({f"x{number}": [number, 1, 1, None] for number in range(320)})
    found = profiled(table, tmp_path)
    assert [each.name for each in found.columns] == table.column_names
    assert found.duplicate_rows.value == 1, "of rows whose cells are in seven parts"
    assert found.sample[0] == {name: number for number, name in enumerate(table.column_names)}
    assert max(len(each.rows) for each in found.correlations) == 40


def test_beyond_what_fits_figures_are_estimates_that_say_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    numbers, keys = rng.normal(100, 5, 60_000), rng.permutation(60_000) % 30_000
    names = np.where(rng.random(60_000) < 0.3, "often", rng.integers(0, 20_000, 60_000).astype(str))
    table = pa.table({"x": numbers, "key": keys, "name": names})
    table = pa.concat_tables([table, table.slice(0, 20_000)])
    found = profiled(table, tmp_path, limits=Limits(exact_rows=10_000, sample_rows=5_000))
    x, key = column(found, "x"), column(found, "key")
    assert x.numbers is not None
    every = table["x"].to_numpy()
    assert x.numbers.mean == pytest.approx(np.mean(every), rel=1e-12), "what needs no memory stays exact"
    for level, measured in x.numbers.quantiles.items():
        assert measured.error is not None
        assert measured.value == pytest.approx(np.quantile(every, float(level)), rel=5 * measured.error)
    for each, distinct in ((key, 30_000), (x, 60_000)):
        assert each.distinct.error is not None
        assert each.distinct.value == pytest.approx(distinct, rel=4 * each.distinct.error)
    assert column(found, "name").top[0].model_dump() == {
        "value": "often",
        "count": int(np.sum(table["name"].to_numpy() == "often")),
    }, "frequent values are found, and counted exactly"
    assert found.duplicate_rows.error is not None
    assert found.duplicate_rows.value == pytest.approx(20_000, rel=4 * found.duplicate_rows.error)
    assert all(each.sampled for each in found.correlations)


def test_progress_goes_from_nothing_to_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "t.parquet")
    told: list[float] = []
    profile(tmp_path / "t.parquet", name="t", progress=lambda fraction, _: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0
