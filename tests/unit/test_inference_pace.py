"""What is learned of forward passes that take `a + b * tokens`."""

import pytest

from consumers.inference.pace import Pace

A, B = 0.010, 0.00002


def learned(*tokens: int) -> Pace:
    pace = Pace()
    for each in tokens:
        pace.learn(each, A + B * each)
    return pace


def test_the_line_is_found() -> None:
    assert learned(256, 1_024, 4_096).line == pytest.approx((A, B))
    assert learned(256, 1_024, 4_096).expected_s(2_000) == pytest.approx(A + B * 2_000)


def test_nothing_is_expected_of_what_never_ran() -> None:
    assert Pace().expected_s(1_000) == 0


def test_passes_of_one_size_tell_no_overhead() -> None:
    assert learned(100, 100, 100).expected_s(200) == pytest.approx(2 * (A + B * 100))


def test_a_pass_that_others_disturbed_hardly_counts() -> None:
    pace = learned(*(256, 1_024, 4_096) * 10)
    pace.learn(1_024, 60.0)
    assert pace.expected_s(1_024) < 1.2 * (A + B * 1_024)


def test_a_batch_has_tokens_until_more_would_hardly_help() -> None:
    assert learned(256, 1_024, 4_096).enough_tokens(16_384) == pytest.approx(5_000, rel=0.01)
    assert learned(256, 1_024, 4_096).enough_tokens(2_000) == 2_000
    assert learned(100).enough_tokens(16_384) == 1_024
