"""How well each column alone tells the target: a column that tells nearly all of it often would not be known in time.

Each column becomes at most 20 groups by quantile, or its categories. The majority or the mean of a group in four
fifths of the sample predicts the last fifth, in turn for each; so a column of keys, which tells every row that it has
seen, scores nothing.
"""

from collections.abc import Sequence

import numpy as np

from consumers.profiling.correlations import PAIR_ROWS, Pair, spread
from consumers.profiling.sample import Codes, Floats, Sample
from consumers.profiling.source import Field
from schemas.profile import ColumnProfile, TargetScore

_FOLDS = 5
_GROUPS = 20
_CLASSES = 50
"""A target with more distinct numbers is predicted by a mean."""
_SEED = 20_130_613


def target_scores(pairs: Sequence[Pair], sample: Sample, target: str) -> list[TargetScore]:
    """Best first, of all columns but the target itself."""
    aimed = next((pair for pair in pairs if pair[0].name == target), None)
    if aimed is None or aimed[1].count < 2 * _FOLDS:
        return []
    rows = spread(sample.rows, PAIR_ROWS)
    score = _Scorer(aimed, sample, rows)
    found = [TargetScore(column=f.name, score=score(_groups(f, sample)[rows])) for f, _ in pairs if f.name != target]
    return sorted(found, key=lambda each: -each.score)


class _Scorer:
    def __init__(self, target: Pair, sample: Sample, rows: Codes) -> None:
        field, column = target
        self._classes: Codes | None = None
        self._values: Floats = np.empty(0)
        if _is_class(column):
            self._classes = sample.codes(field)[rows]
            self._known = self._classes >= 0
        else:
            self._values = sample.numbers(field)[rows]
            self._known = ~np.isnan(self._values)
        # Not by position: neighbours in a file are alike, which would carry over from fold to fold.
        self._folds = np.random.default_rng(_SEED).integers(0, _FOLDS, len(rows))

    def __call__(self, groups: Codes) -> float:
        known = self._known
        if self._classes is not None:
            return _majority_score(groups[known], self._classes[known], self._folds[known])
        return _mean_score(groups[known], self._values[known], self._folds[known])


def _is_class(column: ColumnProfile) -> bool:
    return column.numbers is None or (column.distinct.value <= _CLASSES and _all_whole(column))


def _all_whole(column: ColumnProfile) -> bool:
    return all(float(str(entry.value)).is_integer() for entry in column.top)


def _groups(field: Field, sample: Sample) -> Codes:
    """Missing values are a group as well: that something is missing may tell the target."""
    codes = sample.codes(field) + 1
    if field.is_text or codes.max(initial=0) <= _GROUPS:
        return codes
    values = sample.numbers(field)
    bounds = np.unique(np.nanquantile(values, np.linspace(0, 1, _GROUPS + 1)[1:-1]))
    return np.where(np.isnan(values), 0, np.searchsorted(bounds, values, side="right") + 1)


def _majority_score(groups: Codes, classes: Codes, folds: Codes) -> float:
    """How many of the rows that the majority class gets wrong are told right."""
    right = baseline = 0
    for fold in range(_FOLDS):
        seen, unseen = folds != fold, folds == fold
        common = int(np.bincount(classes[seen]).argmax()) if seen.any() else 0
        told = np.full(int(groups.max(initial=0)) + 1, common)
        known, majority = _majorities(groups[seen], classes[seen])
        told[known] = majority
        right += int((told[groups[unseen]] == classes[unseen]).sum())
        baseline += int((classes[unseen] == common).sum())
    wrong = len(classes) - baseline
    return max(0.0, (right - baseline) / wrong) if wrong else 0.0


def _majorities(groups: Codes, classes: Codes) -> tuple[Codes, Codes]:
    """Each group that occurs, and its most frequent class. Sparse: keys may be as many as rows."""
    width = int(classes.max(initial=0)) + 1
    pairs, counts = np.unique(groups * width + classes, return_counts=True)
    order = np.argsort(counts, kind="stable")  # the most frequent comes last, and is what remains
    return pairs[order] // width, pairs[order] % width


def _mean_score(groups: Codes, values: Floats, folds: Codes) -> float:
    """The share of variance that is told (R squared)."""
    scaled = values / max(np.abs(values).max(initial=0.0), np.finfo(float).tiny)
    error = baseline = 0.0
    for fold in range(_FOLDS):
        seen, unseen = folds != fold, folds == fold
        if not seen.any():
            continue
        mean = scaled[seen].mean()
        size = int(groups.max(initial=0)) + 1
        counts = np.bincount(groups[seen], minlength=size)
        sums = np.bincount(groups[seen], weights=scaled[seen], minlength=size)
        told = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
        error += float(((scaled[unseen] - told[groups[unseen]]) ** 2).sum())
        baseline += float(((scaled[unseen] - mean) ** 2).sum())
    return max(0.0, 1 - error / baseline) if baseline else 0.0
