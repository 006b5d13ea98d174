"""Greedy selection, and the state of a search as bytes."""

import numpy as np
import pytest

from consumers.learning.frame import Array
from consumers.training.ensemble import combined, select
from consumers.training.state import Fit, FoldScore, Running, State, Trial


def squared(target: Array, predicted: Array) -> float:
    return float(np.mean((target - predicted) ** 2))


def noisy(target: Array, seed: int, size: float) -> Array:
    return (target + np.random.default_rng(seed).normal(0, size, len(target))).astype(np.float32)


def test_independent_errors_are_averaged_out() -> None:
    target = np.linspace(0, 1, 500)
    predictions = {number: noisy(target, number, 0.2) for number in range(4)}
    weights = select(predictions, target, squared, seed=0)
    assert sum(weights.values()) == pytest.approx(1)
    assert set(weights) == {0, 1, 2, 3}
    alone = min(squared(target, each) for each in predictions.values())
    assert squared(target, combined(predictions, weights)) < 0.5 * alone


def test_one_that_is_right_stays_alone() -> None:
    target = np.linspace(0, 1, 500)
    weights = select({0: noisy(target, 0, 1.0), 7: target.astype(np.float32)}, target, squared, seed=0)
    assert weights == {7: 1.0}


def test_it_has_five_members_at_most() -> None:
    target = np.linspace(0, 1, 300)
    weights = select({number: noisy(target, number, 0.3) for number in range(12)}, target, squared, seed=0)
    assert len(weights) == 5
    assert list(weights.values()) == sorted(weights.values(), reverse=True)


def test_many_rows_are_thinned_the_same_way_every_time() -> None:
    target = np.linspace(0, 1, 50_000)
    predictions = {number: noisy(target, number, 0.2) for number in range(3)}
    assert select(predictions, target, squared, seed=3) == select(predictions, target, squared, seed=3)


def test_a_state_is_read_as_it_was_written() -> None:
    trial = Trial(number=0, trainer="linear", config={"strength": 0.5}, folds=[FoldScore(loss=0.3, fraction=0.5)])
    running = Running(
        trial.model_copy(update={"number": 1}), [np.arange(4, dtype=np.float32)], Fit("linear", chunks=3)
    )
    assert running.fit is not None
    running.fit.best, running.fit.predicted = FoldScore(loss=0.2, fraction=0.25), np.ones((4, 2), np.float32)
    state = State(elapsed_s=12.5, trials=[trial], running=running)
    state.predictions[0] = np.eye(3, dtype=np.float32)
    state.members["final/0"] = b"\x00bytes\xff"
    content = state.dump(lambda fit: f"{fit.trainer} after {fit.chunks}".encode())
    again = State.load(content)
    assert (again.elapsed_s, again.trials, again.members) == (12.5, [trial], state.members)
    assert np.array_equal(again.predictions[0], state.predictions[0])
    assert again.running is not None
    assert again.running.fit is not None
    assert again.running.fit.dump == b"linear after 3"
    assert again.running.fit.predicted is not None
    assert np.array_equal(again.running.fit.predicted, running.fit.predicted)
    assert again.dump(lambda fit: fit.dump or b"") == content


def test_a_pickle_is_no_state() -> None:
    with pytest.raises(ValueError, match="pickle"):
        State.load(b"\x80\x04N.")
