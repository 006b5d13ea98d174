"""Which inputs go next, and how a failing batch is taken apart."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.inference.batching import NotFinite, checked, choose, forward_isolating
from consumers.inference.ports import Forwarded, Input

lengths_strategy = st.lists(st.integers(1, 256), min_size=1, max_size=60)


def test_without_padding_the_oldest_go_first_until_the_budget_is_full() -> None:
    assert choose([40, 30, 30, 5], 100, padded=False) == [0, 1, 2]


def test_with_padding_the_nearest_in_length_join_the_oldest() -> None:
    assert choose([20, 200, 21, 190, 19], 70, padded=True) == [0, 2, 4]


@pytest.mark.parametrize("padded", [False, True])
def test_an_input_over_the_budget_goes_alone(*, padded: bool) -> None:
    assert choose([500, 3], 100, padded=padded) == [0]


@given(lengths_strategy, st.integers(1, 1024), st.booleans())
def test_the_oldest_always_goes_and_the_budget_holds(lengths: list[int], budget: int, padded: bool) -> None:
    chosen = choose(lengths, budget, padded=padded)
    taken = [lengths[position] for position in chosen]
    cost = max(taken) * len(taken) if padded else sum(taken)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    assert cost <= budget or len(chosen) == 1


def inputs(ids: list[list[int]]) -> list[Input]:
    return [Input(each) for each in ids]


def forward(batch: Sequence[Input]) -> Forwarded:
    """The length of each input as its vector; 666 is poison, 999 gives NaN, and more than 8 tokens do not fit."""
    if sum(map(len, batch)) > 8:
        raise MemoryError("the device is full")
    if any(666 in one.ids for one in batch):
        raise ValueError("poison")
    rows = [[np.nan if 999 in one.ids else len(one)] for one in batch]
    return Forwarded(list(np.array(rows, np.float32)), sum(map(len, batch)))


def test_only_the_poisonous_input_of_a_batch_fails() -> None:
    done = forward_isolating(forward, inputs([[1], [2, 2], [666], [3], [4]]))
    assert [isinstance(outcome, ValueError) for outcome in done.outcomes] == [False, False, True, False, False]
    assert not done.out_of_memory
    assert done.computed == 5


def test_a_batch_that_does_not_fit_is_halved() -> None:
    done = forward_isolating(forward, inputs([[1, 1, 1]] * 5))
    assert [float(o[0]) for o in done.outcomes if not isinstance(o, Exception)] == [3.0] * 5
    assert done.out_of_memory


def test_an_input_that_does_not_fit_alone_fails_alone() -> None:
    done = forward_isolating(forward, inputs([[1] * 9, [2]]))
    assert isinstance(done.outcomes[0], MemoryError)
    assert not isinstance(done.outcomes[1], Exception)


def test_a_vector_that_is_not_finite_is_a_failure() -> None:
    fine, broken = forward_isolating(forward, inputs([[1], [999]])).outcomes
    assert checked(fine) is fine
    assert isinstance(checked(broken), NotFinite)
