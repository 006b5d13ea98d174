"""Metrics of classifications. `target` holds the numbers of classes, `predicted` probabilities [rows, classes]."""

from typing import ClassVar

import numpy as np
from sklearn import metrics

from consumers.learning.frame import Array
from consumers.learning.plugins import Metric
from schemas.learning import LearningTask

_ALL = frozenset(task for task in LearningTask if task.classifies)


class Accuracy(Metric):
    """Share of the rows whose most probable class is the right one."""

    name = "accuracy"
    tasks = _ALL
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        return float(np.mean(target == predicted.argmax(axis=1)))


class BalancedAccuracy(Metric):
    """Mean over the classes of the share of their rows that were recognised."""

    name = "balanced-accuracy"
    tasks = _ALL
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        recognised = target == predicted.argmax(axis=1)
        return float(np.mean([recognised[target == each].mean() for each in np.unique(target)]))


class F1Macro(Metric):
    """Mean over the classes of the harmonic mean of precision and recall."""

    name = "f1-macro"
    tasks = _ALL
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        found = metrics.f1_score(target, predicted.argmax(axis=1), average="macro", zero_division=0.0)
        return float(found)


class LogLoss(Metric):
    """Mean negative logarithm of the probability that the right class was given, at least 1e-15."""

    name = "log-loss"
    tasks = _ALL
    greater_is_better = False

    def score(self, target: Array, predicted: Array) -> float:
        given = predicted[np.arange(len(target)), target]
        return float(-np.log(np.clip(given / predicted.sum(axis=1), 1e-15, 1.0)).mean())


class Brier(Metric):
    """Mean squared distance of the probabilities from the truth, over all classes: from 0 to 2."""

    name = "brier"
    tasks = _ALL
    greater_is_better = False

    def score(self, target: Array, predicted: Array) -> float:
        truth = np.eye(predicted.shape[1])[target]
        return float(np.mean(np.sum((predicted - truth) ** 2, axis=1)))


class _Ranking(Metric):
    """Of one class against the others; with more than two, the mean over those that have rows on both sides."""

    tasks = _ALL
    greater_is_better = True
    undefined: ClassVar[float]
    """What is scored where every row is of one class."""

    def of_one(self, is_class: Array, probability: Array) -> float:
        raise NotImplementedError

    def score(self, target: Array, predicted: Array) -> float:
        classes = range(1, 2) if predicted.shape[1] == 2 else range(predicted.shape[1])
        judged = [each for each in classes if 0 < np.count_nonzero(target == each) < len(target)]
        found = [self.of_one(target == each, predicted[:, each]) for each in judged]
        return float(np.mean(found)) if found else self.undefined


class RocAuc(_Ranking):
    """Area under the ROC curve: how often a row of the class gets a higher probability than one of another."""

    name = "roc-auc"
    undefined = 0.5

    def of_one(self, is_class: Array, probability: Array) -> float:
        return float(metrics.roc_auc_score(is_class, probability))


class AveragePrecision(_Ranking):
    """Area under the curve of precision over recall, as the mean of precisions: for rare classes."""

    name = "average-precision"
    undefined = 0.0

    def of_one(self, is_class: Array, probability: Array) -> float:
        return float(metrics.average_precision_score(is_class, probability))


ACCURACY = Accuracy()
BALANCED_ACCURACY = BalancedAccuracy()
F1_MACRO = F1Macro()
LOG_LOSS = LogLoss()
BRIER = Brier()
ROC_AUC = RocAuc()
AVERAGE_PRECISION = AveragePrecision()
