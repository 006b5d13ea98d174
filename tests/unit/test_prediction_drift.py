"""How far what was asked has drifted from what was learned from, by the profile of the training data."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from producers.drift import input_drift
from reports.stability import noise
from schemas.profile import ColumnProfile
from tests.unit.test_profiling_engine import profiled

RNG = np.random.default_rng(11)
ROWS = 4_000
STAMPS = np.datetime64("2026-01-01", "s") + RNG.integers(0, 86_400 * 365, ROWS)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ColumnProfile]:
    table = pa.table(
        {
            "age": RNG.normal(40, 10, ROWS),
            "city": RNG.choice(["Bern", "Basel", "Genf"], ROWS, p=[0.6, 0.3, 0.1]),
            "seen": pa.array(STAMPS),
            "member": RNG.choice([True, False], ROWS),
            "empty": pa.nulls(ROWS, pa.float64()),
        }
    )
    folder: Path = tmp_path_factory.mktemp("profile")
    return {column.name: column for column in profiled(table, folder).columns}


def rows(count: int, shift: float = 0) -> list[dict[str, object]]:
    ages = RNG.normal(40 + shift, 10, count)
    cities = RNG.choice(["Bern", "Basel", "Genf"], count, p=[0.6, 0.3, 0.1] if not shift else [0.1, 0.3, 0.6])
    members = RNG.random(count) < (0.5 if not shift else 0.9)
    days = RNG.integers(0, 365 if not shift else 60, count)
    return [
        {
            "age": float(age),
            "city": str(city),
            "member": bool(member),
            "seen": str(np.datetime64("2026-01-01") + int(day)),
        }
        for age, city, member, day in zip(ages, cities, members, days, strict=True)
    ]


@pytest.mark.parametrize("column", ["age", "city", "member", "seen"])
def test_what_is_alike_is_told_from_what_has_shifted(profiles: dict[str, ColumnProfile], column: str) -> None:
    alike, shifted = (input_drift(profiles[column], rows(2_000, shift)) for shift in (0, 15))
    assert alike is not None
    assert shifted is not None
    assert (alike.verdict, shifted.verdict) == ("alike", "shifted")
    assert alike.score < shifted.score


def test_a_few_rows_say_nothing_and_we_say_so(profiles: dict[str, ColumnProfile]) -> None:
    few = input_drift(profiles["age"], rows(20))
    assert few is not None
    assert few.verdict == "unsure"
    assert few.noise > 0.25


def test_missing_values_are_a_bucket_of_their_own(profiles: dict[str, ColumnProfile]) -> None:
    found = input_drift(profiles["age"], [*[{"age": None}] * 500, *rows(500)])
    assert found is not None
    assert (found.missing_before, found.missing_after, found.verdict) == (0, 0.5, "shifted")


def test_there_is_nothing_to_compare_with(profiles: dict[str, ColumnProfile]) -> None:
    assert input_drift(profiles["empty"], rows(10)) is None
    assert input_drift(profiles["age"], []) is None


def test_the_noise_is_what_samples_of_one_distribution_stay_below(profiles: dict[str, ColumnProfile]) -> None:
    found = [input_drift(profiles["city"], rows(300)) for _ in range(200)]
    above = sum(1 for each in found if each is not None and each.score > each.noise)
    assert above <= 30, "about ten of two hundred; half a row per bucket makes it a little less"
    assert noise(1, 10, 10) == 0
    assert math.isclose(noise(11, 100, 100), 18.307 * 0.02, rel_tol=0.01)
