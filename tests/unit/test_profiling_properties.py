"""Whatever numbers a small table has, its figures are exact."""

import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.profile import ColumnProfile
from tests.unit.test_profiling_engine import profiled

INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
EXAMPLES = 60


def one_column(values: "pa.Array[pa.Scalar[pa.DataType]]") -> ColumnProfile:
    with tempfile.TemporaryDirectory() as folder:
        return profiled(pa.table({"x": values}), Path(folder)).columns[0]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.none() | INTEGERS, max_size=30))
@example([2**53 + 1])
@example([2**53, 2**53 + 1, None])
@example([2**63 - 1])
def test_integers(values: list[int | None]) -> None:
    found = one_column(pa.array(values, pa.int64()))
    present = [value for value in values if value is not None]
    assert (found.count, found.missing) == (len(present), len(values) - len(present))
    assert found.distinct.value == len(set(present))
    assert found.unique == (len(set(present)) == len(present) > 0)
    if found.numbers is None:
        assert not present
        return
    assert (found.numbers.min, found.numbers.max) == (min(present), max(present))
    assert found.numbers.mean == sum(present) / len(present)
    assert sum(part.count for part in found.numbers.histogram) == len(present)
    assert found.numbers.quantiles["0.5"].value == pytest.approx(float(np.median(np.array(present, float))), rel=1e-9)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.none() | FLOATS, max_size=30))
@example([1.0, math.nan, math.nan])
def test_floats(values: list[float | None]) -> None:
    found = one_column(pa.array(values, pa.float64(), from_pandas=False))
    present = [value for value in values if value is not None]
    finite = [value for value in present if math.isfinite(value)]
    assert found.count == len(present)
    if found.numbers is None:
        assert not finite
        return
    assert (found.numbers.min, found.numbers.max) == (min(finite), max(finite))
    assert found.numbers.infinite == len(present) - len(finite)
    assert found.numbers.negative == sum(value < 0 for value in finite)
    mean = math.fsum(value / len(finite) for value in finite)
    assert found.numbers.mean == pytest.approx(mean, rel=1e-9, abs=1e-12 * max(map(abs, finite)))
    assert sum(part.count for part in found.numbers.histogram) == len(finite)
    assert all(part.low <= part.high for part in found.numbers.histogram)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.none() | st.text(max_size=12), max_size=30))
def test_text(values: list[str | None]) -> None:
    found = one_column(pa.array(values, pa.string()))
    present = [value for value in values if value is not None]
    assert (found.count, found.distinct.value) == (len(present), len(set(present)))
    assert found.constant == (len(set(present)) == 1)
    if found.text is not None:
        assert (found.text.min_length, found.text.max_length) == (min(map(len, present)), max(map(len, present)))
        assert found.top[0].count == max(present.count(value) for value in present)
