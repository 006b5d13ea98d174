"""What is about pairs of columns, against formulas written out, and the alerts that follow."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from consumers.profiling.correlations import correlation_ratio, cramers_v, pearson, ranks, spearman
from consumers.profiling.sample import Codes, Floats
from schemas.profile import AlertKind, CorrelationMethod
from tests.unit.test_profiling_engine import profiled

RNG = np.random.default_rng(11)
A: Floats = RNG.normal(size=400)
B: Floats = np.round(A * 2 + RNG.normal(size=400))
GAPS: Floats = np.where(RNG.random(400) < 0.2, np.nan, A**3)


def test_pearson_is_numpys_of_the_rows_that_both_have() -> None:
    found = pearson([A, B, GAPS])
    both = ~np.isnan(GAPS)
    assert found[0, 1] == found[1, 0] == pytest.approx(np.corrcoef(A, B)[0, 1])
    assert found[1, 2] == pytest.approx(np.corrcoef(B[both], GAPS[both])[0, 1])
    assert np.isnan(pearson([A, np.ones(400)])[0, 1]), "a constant goes with nothing"
    assert pearson([A * 1e300, B * 1e-300])[0, 1] == pytest.approx(found[0, 1])


def test_spearman_ranks_the_rows_that_both_have() -> None:
    def plain_ranks(values: Floats) -> list[float]:
        return [float(np.sum(values < value) + (np.sum(values == value) + 1) / 2) for value in values]

    assert ranks(B).tolist() == plain_ranks(B)
    both = ~np.isnan(GAPS)
    found = spearman([A, B, GAPS])
    assert found[0, 1] == pytest.approx(np.corrcoef(plain_ranks(A), plain_ranks(B))[0, 1])
    assert found[1, 2] == pytest.approx(np.corrcoef(plain_ranks(B[both]), plain_ranks(GAPS[both]))[0, 1])
    assert found[0, 2] == pytest.approx(1.0), "rises whenever the other does"


def test_cramers_v_is_corrected_for_chance() -> None:
    a: Codes = RNG.integers(0, 4, 500)
    b: Codes = np.where(RNG.random(500) < 0.5, a, RNG.integers(0, 3, 500))
    pairs, rows, columns = Counter(zip(a.tolist(), b.tolist(), strict=True)), Counter(a.tolist()), Counter(b.tolist())
    chi2 = sum(
        (pairs[i, j] - rows[i] * columns[j] / 500) ** 2 / (rows[i] * columns[j] / 500) for i in rows for j in columns
    )
    phi2 = max(0.0, chi2 / 500 - (len(rows) - 1) * (len(columns) - 1) / 499)
    sizes = [k - (k - 1) ** 2 / 499 for k in (len(rows), len(columns))]
    assert cramers_v(a, b) == pytest.approx(math.sqrt(phi2 / (min(sizes) - 1)))
    assert cramers_v(a, a) == pytest.approx(1.0)
    assert cramers_v(a, RNG.integers(0, 4, 500)) < 0.1
    assert np.isnan(cramers_v(a, np.zeros(500, np.int64)))


def test_the_correlation_ratio_is_the_share_of_variance_between_groups() -> None:
    groups: Codes = RNG.integers(-1, 3, 300)
    values = np.where(RNG.random(300) < 0.1, np.nan, groups * 2.0 + RNG.normal(size=300))
    known = (groups >= 0) & ~np.isnan(values)
    total = np.sum((values[known] - values[known].mean()) ** 2)
    parts = [values[known & (groups == group)] for group in range(3)]
    between = sum(len(part) * (part.mean() - values[known].mean()) ** 2 for part in parts)
    assert correlation_ratio(groups, values) == pytest.approx(math.sqrt(between / total))


def test_each_method_has_its_columns(tmp_path: Path) -> None:
    table = pa.table({"a": A, "b": B, "c": (A > 0).astype(str), "d": B > 0, "key": np.arange(400).astype(str)})
    found = {each.method: each for each in profiled(table, tmp_path).correlations}
    assert found[CorrelationMethod.PEARSON].rows == ["a", "b"]
    assert found[CorrelationMethod.CRAMERS_V].rows == ["c", "d"]
    ratio = found[CorrelationMethod.CORRELATION_RATIO]
    assert (ratio.rows, ratio.columns, ratio.sampled) == (["c", "d"], ["a", "b"], None)


def test_a_column_that_tells_the_target_leaks(tmp_path: Path) -> None:
    target = RNG.integers(0, 3, 600)
    table = {
        "target": target.astype(str),
        "after": target * 100 + RNG.integers(0, 50, 600),
        "hint": np.where(RNG.random(600) < 0.5, target, RNG.integers(0, 3, 600)),
        "key": np.array([f"k{number}" for number in range(600)]),
        "noise": RNG.normal(size=600),
    }
    found = profiled(pa.table(table), tmp_path, target="target")
    scores = {each.column: each.score for each in found.target_scores}
    assert found.target_scores[0].column == "after"
    assert scores["after"] == pytest.approx(1.0, abs=0.05)
    assert 0.3 < scores["hint"] < 0.7
    assert scores["key"] == 0, "knows each row by heart, and no other"
    assert scores["noise"] < 0.1
    assert [alert.columns for alert in found.alerts if alert.kind is AlertKind.LEAKAGE] == [["after", "target"]]


def test_a_number_is_told_by_means(tmp_path: Path) -> None:
    table = {"target": A * 1e200, "twin": A * -3, "coin": RNG.integers(0, 2, 400)}
    scores = {each.column: each.score for each in profiled(pa.table(table), tmp_path, target="target").target_scores}
    assert scores["twin"] > 0.9
    assert scores["coin"] < 0.05


def test_alerts_are_ranked_and_say_what_to_do(tmp_path: Path) -> None:
    rows = 200
    table = pa.table(
        {
            "mail": [f"p{number % 90}@example.org" for number in range(rows)],
            "twin": list(range(rows)),
            "same": list(range(rows)),
            "one": ["x"] * rows,
            "none": pa.nulls(rows, pa.int64()),
            "rare": ["no"] * (rows - 4) + ["yes"] * 4,
            "zero": [0] * 150 + list(range(1, 51)),
            "mixed": [str(number) if number % 10 else "n/a" for number in range(rows)],
            "blank": ["", "a b", "c d", "e f"] * 50,
            "gaps": [None if number % 3 else number for number in range(rows)],
            "when": pa.array([2**51] * 5 + [10**15] * (rows - 5), pa.timestamp("us")),
            "tail": np.exp(np.linspace(0, 20, rows)),
        }
    )
    found = profiled(table, tmp_path).alerts
    kinds = {(alert.kind, alert.columns[0]) for alert in found}
    assert kinds >= {
        (AlertKind.PII, "mail"),
        (AlertKind.DUPLICATE_COLUMNS, "twin"),
        (AlertKind.CONSTANT, "one"),
        (AlertKind.ALL_MISSING, "none"),
        (AlertKind.IMBALANCED, "rare"),
        (AlertKind.ZEROS, "zero"),
        (AlertKind.MIXED, "mixed"),
        (AlertKind.BLANK, "blank"),
        (AlertKind.MISSING, "gaps"),
        (AlertKind.FUTURE, "when"),
        (AlertKind.SKEWED, "tail"),
        (AlertKind.UNIQUE, "twin"),
    }
    assert [alert.score for alert in found] == sorted((alert.score for alert in found), reverse=True)
    assert found[0].kind is AlertKind.PII
    assert all(0 <= alert.score <= 1 and alert.message.endswith(".") for alert in found)
    assert not any(alert.kind is AlertKind.CORRELATED and set(alert.columns) == {"twin", "same"} for alert in found)
