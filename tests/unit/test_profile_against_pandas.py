"""From a CSV file through ingestion and profiling, compared with pandas and SciPy: on scikit-learn's bundled sets,
and on a set that is hostile on purpose."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import datasets

from consumers.ingestion.convert import convert
from consumers.profiling.engine import profile
from schemas.profile import ColumnProfile, DatasetProfile

LOADERS = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "linnerud": datasets.load_linnerud,
}


def profiled(source: Path, folder: Path) -> DatasetProfile:
    into = folder / "table"
    into.mkdir()
    return profile(convert(source, source.name, into).parquet, name=source.stem)


def compare_numbers(column: ColumnProfile, series: "pd.Series[Any]") -> None:
    numbers = column.numbers
    assert numbers is not None, column.name
    values = series.dropna()
    found = (numbers.min, numbers.max, numbers.mean, numbers.std, numbers.skewness, numbers.kurtosis)
    expected = (values.min(), values.max(), values.mean(), values.std(), values.skew(), values.kurt())
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), column.name
    for level, quantile in numbers.quantiles.items():
        assert quantile.value == pytest.approx(values.quantile(float(level)), rel=1e-12), (column.name, level)
        assert quantile.error is None
    low, high = values.quantile(0.25), values.quantile(0.75)
    outside = (values < low - 1.5 * (high - low)) | (values > high + 1.5 * (high - low))
    assert numbers.outliers is None or numbers.outliers.count == outside.sum(), column.name
    assert sum(bar.count for bar in numbers.histogram) == len(values)
    assert (numbers.zeros, numbers.negative) == ((values == 0).sum(), (values < 0).sum())


@pytest.mark.parametrize("name", LOADERS)
def test_figures_equal_those_of_pandas(name: str, tmp_path: Path) -> None:
    frame: pd.DataFrame = LOADERS[name](as_frame=True).frame
    source = tmp_path / f"{name}.csv"
    frame.to_csv(source, index=False)
    found = profiled(source, tmp_path)
    assert (found.rows, found.missing_cells) == (len(frame), frame.isna().sum().sum())
    assert found.duplicate_rows.value == frame.duplicated().sum()
    assert [column.name for column in found.columns] == list(frame.columns)
    for column in found.columns:
        series = frame[column.name]
        assert (column.count, column.missing) == (series.count(), series.isna().sum())
        assert (column.distinct.value, column.distinct.error) == (series.nunique(), None)
        compare_numbers(column, series)
    for matrix in found.correlations:
        if matrix.method in ("pearson", "spearman"):
            expected = frame[matrix.columns].corr(method=matrix.method.value)
            values = np.array(matrix.values, dtype=float)
            assert np.allclose(values, expected.to_numpy(), atol=1e-9), matrix.method
            assert matrix.sampled is None


def hostile(rows: int = 400) -> dict[str, list[str]]:
    random = np.random.default_rng(3)
    integers = random.integers(-(2**62), 2**62, rows)
    return {
        "nothing": [""] * rows,
        "constant": ["same"] * rows,
        "mixed": [("7", "seven", "7.0", "2026-01-01", "true")[i % 5] for i in range(rows)],
        "huge": [str(int(value)) for value in integers],
        "beyond": [str(10**30 + i) for i in range(rows)],
        "with infinities": [("inf", "-inf", "nan", "0.5", "-2.25", "1e300")[i % 6] for i in range(rows)],
        "tiny": [repr(float(value) * 1e-300) for value in random.normal(size=rows)],
        'quoted "name", with\nnewline': [f"naïve, “quoted”\n{i % 3} 🦆 שלום" for i in range(rows)],
        "codes": [f"{i % 50:05d}" for i in range(rows)],
        "gaps": ["" if i % 3 else str(i) for i in range(rows)],
    }


def test_a_hostile_set_has_the_figures_that_it_has(tmp_path: Path) -> None:
    columns = hostile()
    source = tmp_path / "hostile.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    found = {column.name: column for column in profiled(source, tmp_path).columns}
    assert list(found) == list(columns)
    assert (found["nothing"].count, found["nothing"].missing) == (0, 400)
    assert found["constant"].constant
    assert found["constant"].top[0].count == 400
    assert found["mixed"].distinct.value == 5
    assert {entry.value for entry in found["mixed"].top} == set(columns["mixed"])
    integers = [int(value) for value in columns["huge"]]
    numbers = found["huge"].numbers
    assert numbers is not None
    assert (numbers.min, numbers.max) == (min(integers), max(integers)), "to the last digit"
    assert numbers.mean == pytest.approx(sum(integers) / len(integers), rel=1e-12)
    assert numbers.skewness == pytest.approx(stats.skew(np.array(integers, dtype=float), bias=False), rel=1e-6)
    finite = [float(value) for value in columns["with infinities"] if math.isfinite(float(value))]
    infinite = found["with infinities"].numbers
    assert infinite is not None
    assert (infinite.min, infinite.max) == (min(finite), max(finite))
    assert infinite.infinite + len(finite) + found["with infinities"].missing == 400
    tiny = found["tiny"].numbers
    enlarged = np.array([float(value) for value in columns["tiny"]]) * 1e300  # shape does not depend on the scale
    assert tiny is not None
    assert (tiny.skewness, tiny.kurtosis) == pytest.approx(
        (stats.skew(enlarged, bias=False), stats.kurtosis(enlarged, bias=False)), rel=1e-9
    ), "where pandas has NaN"
    assert tiny.mean == pytest.approx(enlarged.mean() / 1e300, rel=1e-9)
    text = found['quoted "name", with\nnewline']
    assert text.distinct.value == 3
    assert text.text is None or text.text.max_length == max(map(len, columns['quoted "name", with\nnewline']))
    assert found["codes"].type in ("text", "category"), "a leading zero means something"
    assert found["codes"].distinct.value == 50
    assert (found["gaps"].count, found["gaps"].missing) == (134, 266)
