"""Metrics of regressions."""

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.plugins import Metric
from schemas.learning import LearningTask

_TASKS = frozenset({LearningTask.REGRESSION})


class Rmse(Metric):
    """Square root of the mean squared error, in the unit of the target."""

    name = "rmse"
    tasks = _TASKS
    greater_is_better = False

    def score(self, target: Array, predicted: Array) -> float:
        return float(np.sqrt(np.mean((target - predicted) ** 2)))


class Mae(Metric):
    """Mean absolute error, in the unit of the target."""

    name = "mae"
    tasks = _TASKS
    greater_is_better = False

    def score(self, target: Array, predicted: Array) -> float:
        return float(np.mean(np.abs(target - predicted)))


class MedianAbsoluteError(Metric):
    """Median of the absolute errors: few rows that are far off do not move it."""

    name = "median-absolute-error"
    tasks = _TASKS
    greater_is_better = False

    def score(self, target: Array, predicted: Array) -> float:
        return float(np.median(np.abs(target - predicted)))


class R2(Metric):
    """Share of the target's variance that is explained; 0 for a model that always says the mean."""

    name = "r2"
    tasks = _TASKS
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        spread = np.sum((target - target.mean()) ** 2)
        left = np.sum((target - predicted) ** 2)
        if spread == 0:
            return 1.0 if left == 0 else 0.0
        return float(1 - left / spread)


class Mape(Metric):
    """Mean of the absolute errors as shares of the target, over the rows where that is not 0."""

    name = "mape"
    tasks = _TASKS
    greater_is_better = False

    def score(self, target: Array, predicted: Array) -> float:
        nonzero = target != 0
        if not nonzero.any():
            return 0.0 if np.array_equal(target, predicted) else float(np.finfo(np.float64).max)
        return float(np.mean(np.abs((target - predicted)[nonzero] / target[nonzero])))


RMSE = Rmse()
MAE = Mae()
MEDIAN_ABSOLUTE_ERROR = MedianAbsoluteError()
R2_SCORE = R2()
MAPE = Mape()
