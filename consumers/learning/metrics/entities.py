"""Metrics of entities: one is found when its start, its end and its label are exactly right. Over all entities, not
averaged over labels (micro), as in CoNLL-2003."""

import numpy as np

from consumers.learning import spans
from consumers.learning.frame import Array
from consumers.learning.plugins import Metric
from schemas.learning import LearningTask

_TASKS = frozenset({LearningTask.TOKEN_CLASSIFICATION})


class EntityPrecision(Metric):
    """Share of the entities that were predicted which are right."""

    name = "entity-precision"
    tasks = _TASKS
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        _, right = spans.matches(target, predicted)
        return float(right.sum() / max(1, np.count_nonzero(predicted[:, :, 0] >= 0)))


class EntityRecall(Metric):
    """Share of the entities that there are which were found."""

    name = "entity-recall"
    tasks = _TASKS
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        found, _ = spans.matches(target, predicted)
        return float(found.sum() / max(1, np.count_nonzero(target[:, :, 0] >= 0)))


class EntityF1(Metric):
    """Harmonic mean of precision and recall."""

    name = "entity-f1"
    tasks = _TASKS
    greater_is_better = True

    def score(self, target: Array, predicted: Array) -> float:
        found, _ = spans.matches(target, predicted)
        both = np.count_nonzero(target[:, :, 0] >= 0) + np.count_nonzero(predicted[:, :, 0] >= 0)
        return float(2 * found.sum() / max(1, both))


ENTITY_PRECISION = EntityPrecision()
ENTITY_RECALL = EntityRecall()
ENTITY_F1 = EntityF1()
