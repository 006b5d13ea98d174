"""How rows are divided: what nothing is chosen by, and the folds by which everything is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumers.learning.frame import Array
from consumers.runtime.verdicts import Reject
from schemas.learning import Splitting

Rows = NDArray[np.intp]

FEWEST_ROWS = 10
SMALL = 500
"""With fewer rows a holdout says less than cross-validation, and costs rows that are missed."""


@dataclass(frozen=True)
class Fold:
    train: Rows
    valid: Rows


@dataclass(frozen=True)
class Division:
    development: Rows
    holdout: Rows
    """Empty when everything is cross-validated."""
    folds: Sequence[Fold]
    """Of the development rows, by their numbers in the whole table; those of a repeat one after another."""
    once: int
    """How many folds make one repeat, which validates each row at most once."""

    @property
    def validated(self) -> Rows:
        """Rows that are validated: all of development, but for rows of classes too rare to be missed by any fold,
        and for the oldest when they come in an order."""
        return np.unique(np.concatenate([fold.valid for fold in self.folds]))


def divide(target: Array, classifies: bool, splitting: Splitting, column: Array | None, seed: int) -> Division:
    """`column` has the value of each row by which rows are grouped or ordered, NaN or None where it is missing;
    None for a random division.

    Raises Reject for what cannot be divided so."""
    rows = len(target)
    if rows < FEWEST_ROWS:
        raise Reject(f"/params/target: {rows} rows have a value; at least {FEWEST_ROWS} are needed to learn from")
    share = splitting.holdout if rows >= SMALL else 0.0
    rng = np.random.default_rng([seed, 0])
    if splitting.kind == "random":
        return _random(target, classifies, splitting, share, rng)
    if column is None:
        raise Reject(f"/params/split/column: a {splitting.kind} split needs the column that says which; name it")
    if splitting.kind == "grouped":
        return _grouped(column, splitting, share, rng)
    return _timed(column, splitting, share)


def _random(
    target: Array, classifies: bool, splitting: Splitting, share: float, rng: np.random.Generator
) -> Division:
    classes = target if classifies else np.zeros(len(target), dtype=np.int64)
    shuffled, alone = _by_class(classes, np.arange(len(target)), rng)
    taken = np.floor(np.arange(1, len(shuffled) + 1) * share) > np.floor(np.arange(len(shuffled)) * share)
    holdout, rest = np.sort(shuffled[taken]), shuffled[~taken]
    development = np.sort(np.concatenate([rest, alone]))
    count = min(splitting.folds, len(rest) // 2)
    folds = [
        fold
        for _ in range(splitting.repeats)
        for fold in _dealt(development, *_by_class(classes, development, rng), count)
    ]
    return Division(development, holdout, folds, count)


def _by_class(classes: Array, rows: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Shuffled within classes, one class after another, so that whoever takes every n-th of them takes as evenly
    from each class as can be; and apart from them rows that are alone in their class: those are always learned
    from."""
    shuffled = rng.permutation(rows)
    shuffled = shuffled[np.argsort(classes[shuffled], kind="stable")]
    _, inverse, counts = np.unique(classes[shuffled], return_inverse=True, return_counts=True)
    alone = counts[inverse] == 1
    return shuffled[~alone], shuffled[alone]


def _dealt(development: Rows, shuffled: Rows, _alone: Rows, count: int) -> Iterator[Fold]:
    for number in range(count):
        valid = np.sort(shuffled[number::count])
        yield Fold(np.setdiff1d(development, valid), valid)


def _grouped(column: Array, splitting: Splitting, share: float, rng: np.random.Generator) -> Division:
    names, group_of = np.unique(_comparable(column), return_inverse=True)
    sizes = np.bincount(group_of)
    shuffled = rng.permutation(len(names))
    held = _groups_within(shuffled, sizes, share * len(column))
    kept = [group for group in shuffled if group not in held]
    count = min(splitting.folds, len(kept))
    if count < 2:
        raise Reject(
            f"/params/split/column: {splitting.column!r} has {len(names)} different values; groups cannot be divided "
            "into folds: name another column, or split at random"
        )
    everything = np.arange(len(column))
    holdout = everything[np.isin(group_of, list(held))]
    development = np.setdiff1d(everything, holdout)
    fold_of, loads = np.full(len(names), -1), np.zeros(count)
    for group in sorted(kept, key=lambda each: -sizes[each]):  # the largest first, each to the emptiest fold
        fold_of[group] = int(np.argmin(loads))
        loads[fold_of[group]] += sizes[group]
    valids = [development[fold_of[group_of[development]] == number] for number in range(count)]
    return Division(development, holdout, [Fold(np.setdiff1d(development, valid), valid) for valid in valids], count)


def _groups_within(shuffled: Rows, sizes: Rows, most: float) -> set[int]:
    held: set[int] = set()
    for group in shuffled:
        if sizes[group] <= most:
            held.add(int(group))
            most -= sizes[group]
    return held


def _timed(column: Array, splitting: Splitting, share: float) -> Division:
    absent = int(np.sum(_missing(column)))
    if absent:
        raise Reject(f"/params/split/column: {absent} rows have no {splitting.column!r}, so that they have no order")
    order = np.argsort(_comparable(column), kind="stable").astype(np.intp)
    held = int(len(order) * share)
    development, holdout = order[: len(order) - held], order[len(order) - held :]
    count = min(splitting.folds, len(development) // 2)
    blocks = np.array_split(development, count + 1)
    folds = [Fold(np.concatenate(blocks[: at + 1]), blocks[at + 1]) for at in range(count)]
    return Division(np.sort(development), holdout, folds, count)


def _missing(column: Array) -> NDArray[np.bool_]:
    if column.dtype == object:
        return np.array([value is None for value in column])
    return np.isnan(column)


def _comparable(column: Array) -> NDArray[Any]:
    """Rows without a value are one group."""
    return np.where(_missing(column), "", column).astype(str) if column.dtype == object else column
