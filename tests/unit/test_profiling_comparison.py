"""How far two profiles are apart."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reports.drift import compare
from reports.stability import stability_index
from schemas.profile import ProfileComparison
from tests.unit.test_profiling_engine import profiled

RNG = np.random.default_rng(5)
ROWS = 4_000


def compared(before: dict[str, object], after: dict[str, object], folder: Path) -> ProfileComparison:
    return compare(profiled(pa.table(before), folder), profiled(pa.table(after), folder))


def score(before: object, after: object, folder: Path) -> float:
    return compared({"x": before}, {"x": after}, folder).drift[0].score


def test_the_index_is_the_sum_over_the_buckets() -> None:
    before: dict[object, float] = {"a": 600, "b": 400}
    after: dict[object, float] = {"a": 300, "b": 700}
    by_hand = (0.3 - 0.6) * math.log(0.3 / 0.6) + (0.7 - 0.4) * math.log(0.7 / 0.4)
    assert stability_index(before, after) == pytest.approx(by_hand, rel=0.01)
    assert stability_index(before, before) == 0
    assert stability_index({"a": 5}, {}) == 0, "nothing to compare"


def test_numbers_from_the_same_source_are_alike_and_shifted_ones_are_not(tmp_path: Path) -> None:
    before = RNG.normal(0, 1, ROWS)
    assert score(before, RNG.normal(0, 1, ROWS), tmp_path) < 0.05
    assert score(before, RNG.normal(1, 1, ROWS), tmp_path) > 0.25
    assert score(before, np.r_[before, before * 1.0], tmp_path) < 0.01
    assert score(np.ones(50), np.full(50, 2.0), tmp_path) > 1
    assert score(np.arange(10), np.arange(10) + 1_000, tmp_path) > 1


def test_categories_are_compared_by_their_values(tmp_path: Path) -> None:
    before = RNG.choice(["a", "b", "c"], ROWS, p=[0.6, 0.3, 0.1])
    assert score(before, RNG.choice(["a", "b", "c"], ROWS, p=[0.6, 0.3, 0.1]), tmp_path) < 0.05
    assert score(before, RNG.choice(["a", "b", "d"], ROWS, p=[0.6, 0.3, 0.1]), tmp_path) > 0.25
    assert score(before, RNG.choice([True, False], ROWS), tmp_path) > 0.25, "of another type"


def test_varied_text_is_compared_by_its_length(tmp_path: Path) -> None:
    texts = [f"{'x' * int(length)}{number}" for number, length in enumerate(RNG.integers(1, 40, 500))]
    assert score(texts, [text[::-1] for text in texts], tmp_path) < 0.01
    assert score(texts, [text * 3 for text in texts], tmp_path) > 0.25


def test_missing_values_drift_too(tmp_path: Path) -> None:
    values = [1.0, 2.0, 3.0, 4.0] * 25
    found = compared({"x": values}, {"x": [*values[:50], *[None] * 50]}, tmp_path).drift[0]
    assert (found.missing_before, found.missing_after) == (0, 0.5)
    assert found.score > 0.25


def test_columns_come_and_go(tmp_path: Path) -> None:
    found = compared({"a": [1, 2], "b": [1, 9]}, {"b": [1, 9], "c": [1, 2]}, tmp_path)
    assert (found.added, found.removed, [each.column for each in found.drift]) == (["c"], ["a"], ["b"])
    assert (found.rows_before, found.rows_after) == (2, 2)
