"""How good a model is, on rows that it was not fitted on: figures with intervals, and what is drawn of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from consumers.learning import spans
from consumers.learning.frame import Array
from consumers.learning.plugins import Metric, Problem
from schemas.model_card import Calibration, CalibrationBin, Confusion, Curve, EntityScore, MetricValue, Residuals
from schemas.profile import Bin

_RESAMPLES = 200
_MOST_RESAMPLED = 20_000
"""Rows of which an interval is made; it is narrowed to as many as there are by the square root of their ratio."""
_CURVES = 12
"""Classes that are drawn, the most frequent ones."""
_POINTS = 200
_MOST_CONFUSED = 100
_BINS, _RESIDUAL_BINS, _RESIDUAL_POINTS = 10, 40, 500


def measured(
    metrics: Mapping[str, Metric], first: str, problem: Problem, target: Array, predicted: Array, baseline: Array
) -> list[MetricValue]:
    """Every metric of the task, the optimised one first."""
    names = [first, *sorted(name for name, each in metrics.items() if problem.task in each.tasks and name != first)]
    return [_measured(metrics[name], problem.seed, target, predicted, baseline) for name in names]


def _measured(metric: Metric, seed: int, target: Array, predicted: Array, baseline: Array) -> MetricValue:
    value = metric.score(target, predicted)
    low, high = _interval(metric, seed, target, predicted, value)
    return MetricValue(
        name=metric.name,
        value=value,
        baseline=metric.score(target, baseline),
        greater_is_better=metric.greater_is_better,
        low=low,
        high=high,
    )


def _interval(metric: Metric, seed: int, target: Array, predicted: Array, value: float) -> tuple[float, float]:
    """Percentiles of the bootstrap (B. Efron, 1979); the same resamples for every metric."""
    rng = np.random.default_rng([seed, 2])
    rows, size = len(target), min(len(target), _MOST_RESAMPLED)
    picks = (rng.integers(rows, size=size) for _ in range(_RESAMPLES))
    found = [metric.score(target[pick], predicted[pick]) for pick in picks]
    low, high = np.percentile(found, [2.5, 97.5])
    narrower = float(np.sqrt(size / rows))
    return value + (float(low) - value) * narrower, value + (float(high) - value) * narrower


def confusion(names: Sequence[str], target: Array, predicted: Array) -> Confusion | None:
    """None for more classes than anybody reads."""
    count = len(names)
    if count > _MOST_CONFUSED:
        return None
    cells = np.bincount(target * count + predicted.argmax(axis=1), minlength=count * count)
    return Confusion(classes=list(names), counts=cells.reshape(count, count).tolist())


def entities(names: Sequence[str], target: Array, predicted: Array) -> list[EntityScore]:
    """Label by label, the most frequent first."""
    found, right = spans.matches(target, predicted)
    told = []
    for number, name in enumerate(names):
        wanted, said = (values[:, :, 2] == number for values in (target, predicted))
        told.append(
            EntityScore(
                label=name,
                precision=float(right[said].mean()) if said.any() else 0.0,
                recall=float(found[wanted].mean()) if wanted.any() else 0.0,
                actual=int(wanted.sum()),
                predicted=int(said.sum()),
            )
        )
    return sorted(told, key=lambda each: (-each.actual, each.label))


def roc(names: Sequence[str], target: Array, predicted: Array) -> list[Curve]:
    def drawn(is_class: Array, probability: Array) -> tuple[float, Array, Array]:
        false, true, _ = roc_curve(is_class, probability)
        return roc_auc_score(is_class, probability), false, true

    return _curves(names, target, predicted, drawn)


def precision_recall(names: Sequence[str], target: Array, predicted: Array) -> list[Curve]:
    def drawn(is_class: Array, probability: Array) -> tuple[float, Array, Array]:
        precision, recall, _ = precision_recall_curve(is_class, probability)
        return average_precision_score(is_class, probability), recall[::-1], precision[::-1]

    return _curves(names, target, predicted, drawn)


def calibration(names: Sequence[str], target: Array, predicted: Array) -> list[Calibration]:
    """By deciles of the probability, so that each bin has something to say."""
    found = []
    for label, is_class, probability in _one_by_one(names, target, predicted):
        order = np.argsort(probability, kind="stable")
        bins = [
            CalibrationBin(
                predicted=float(probability[each].mean()), observed=float(is_class[each].mean()), count=len(each)
            )
            for each in np.array_split(order, min(_BINS, len(order)))
        ]
        brier = float(np.mean((probability - is_class) ** 2))
        found.append(Calibration(label=label, bins=bins, brier=brier))
    return found


def residuals(target: Array, predicted: Array, seed: int) -> Residuals:
    counts, edges = np.histogram(predicted - target, bins=_RESIDUAL_BINS)
    bins = [
        Bin(low=float(low), high=float(high), count=int(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    some = np.random.default_rng([seed, 3]).permutation(len(target))[:_RESIDUAL_POINTS]
    points = [(float(predicted[row]), float(target[row])) for row in np.sort(some)]
    return Residuals(histogram=bins, points=points)


def _curves(
    names: Sequence[str],
    target: Array,
    predicted: Array,
    drawn: Callable[[Array, Array], tuple[float, Array, Array]],
) -> list[Curve]:
    found = []
    for label, is_class, probability in _one_by_one(names, target, predicted):
        area, across, up = drawn(is_class, probability)
        some = np.unique(np.linspace(0, len(across) - 1, min(_POINTS, len(across))).astype(int))
        points = [(round(float(x), 5), round(float(y), 5)) for x, y in zip(across[some], up[some], strict=True)]
        found.append(Curve(label=label, area=float(area), points=points))
    return found


def _one_by_one(names: Sequence[str], target: Array, predicted: Array) -> Iterator[tuple[str, Array, Array]]:
    """Each class against the others; the second of two stands for both. Those without rows on both sides are left
    out."""
    counts = np.bincount(target, minlength=len(names))
    frequent = [1] if len(names) == 2 else sorted(np.argsort(-counts, kind="stable")[:_CURVES].tolist())
    for number in frequent:
        if 0 < counts[number] < len(target):
            yield names[number], (target == number).astype(np.float64), predicted[:, number]
