"""How rows are divided: nobody is judged by what they have seen, and no class is forgotten."""

import numpy as np
import pytest

from consumers.runtime.verdicts import Reject
from consumers.training.splits import Division, divide
from schemas.learning import Splitting


def classes(*counts: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def assert_sound(division: Division, rows: int) -> None:
    """Disjoint where they must be, and nothing is lost."""
    assert not set(division.development) & set(division.holdout)
    assert len(division.development) + len(division.holdout) == rows
    for fold in division.folds:
        assert not set(fold.train) & set(fold.valid)
        assert set(fold.train) | set(fold.valid) <= set(division.development)
        assert len(fold.valid)
        assert len(fold.train)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_division_has_every_class_in_its_share_everywhere(seed: int) -> None:
    target = classes(600, 300, 100)
    division = divide(target, True, Splitting(), None, seed)
    assert_sound(division, 1_000)
    assert len(division.holdout) == 200
    for part in [division.holdout, *(fold.valid for fold in division.folds)]:
        shares = np.bincount(target[part], minlength=3) / len(part)
        assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.02)
    assert np.array_equal(division.validated, division.development)


def test_it_is_the_same_for_a_seed_and_another_for_another() -> None:
    target = classes(400, 400)
    once, again, other = (divide(target, True, Splitting(), None, seed) for seed in (0, 0, 1))
    assert np.array_equal(once.holdout, again.holdout)
    assert not np.array_equal(once.holdout, other.holdout)


def test_rare_classes_are_always_learned() -> None:
    target = classes(700, 3, 1)
    division = divide(target, True, Splitting(), None, 0)
    assert_sound(division, 704)
    [alone] = np.flatnonzero(target == 2)
    assert all(alone in fold.train for fold in division.folds)
    assert alone not in division.holdout
    assert all(1 in target[fold.train] for fold in division.folds)


def test_small_tables_keep_no_holdout_and_repeats_divide_anew() -> None:
    target = classes(60, 60)
    division = divide(target, True, Splitting(folds=4, repeats=3), None, 0)
    assert not len(division.holdout)
    assert len(division.folds) == 12
    assert division.once == 4
    for start in range(0, 12, 4):
        valid = np.concatenate([fold.valid for fold in division.folds[start : start + 4]])
        assert np.array_equal(np.sort(valid), np.arange(120))
    assert not np.array_equal(division.folds[0].valid, division.folds[4].valid)


def test_groups_are_never_torn_apart() -> None:
    groups = np.array([f"patient {number}" for number in np.random.default_rng(0).integers(40, size=1_000)], object)
    groups[:30] = None
    division = divide(np.zeros(1_000), False, Splitting(kind="grouped", column="patient"), groups, 0)
    assert_sound(division, 1_000)
    assert 100 < len(division.holdout) <= 200
    names = np.where(groups == None, "", groups)  # noqa: E711  # element by element
    for fold in division.folds:
        assert not set(names[fold.train]) & set(names[fold.valid])
        assert not set(names[division.development]) & set(names[division.holdout])
    sizes = [len(fold.valid) for fold in division.folds]
    assert max(sizes) < 2 * min(sizes)


def test_time_is_never_looked_ahead_in() -> None:
    times = np.random.default_rng(0).permutation(1_000).astype(float)
    division = divide(np.zeros(1_000), False, Splitting(kind="time", column="at"), times, 0)
    assert_sound(division, 1_000)
    assert times[division.holdout].min() > times[division.development].max()
    for fold in division.folds:
        assert times[fold.train].max() < times[fold.valid].min()
    assert len(division.validated) < len(division.development), "the oldest rows are only learned from"


@pytest.mark.parametrize(
    ("target", "splitting", "column", "pointer"),
    [
        (np.zeros(9), Splitting(), None, "/params/target: 9 rows"),
        (np.zeros(50), Splitting(kind="grouped", column="g"), np.ones(50), "/params/split/column: 'g' has 1"),
        (
            np.zeros(50),
            Splitting(kind="time", column="t"),
            np.array([np.nan, *range(49)]),
            "/params/split/column: 1 rows have no 't'",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(
    target: np.ndarray, splitting: Splitting, column: np.ndarray | None, pointer: str
) -> None:
    with pytest.raises(Reject, match=pointer):
        divide(target, False, splitting, column, 0)
