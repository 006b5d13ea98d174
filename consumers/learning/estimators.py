"""What trainers of scikit-learn's estimators share: what they keep between chunks, and answers for all classes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Problem
from consumers.learning.stored import dumped, loaded
from schemas.learning import LearningTask

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Kept(Generic[C]):
    """Settings, problem and the estimator so far: all that the next chunk needs beside the data."""

    config: C
    problem: Problem
    model: Any = None
    """None before the first chunk."""

    def dump(self) -> bytes:
        problem = {**asdict(self.problem), "task": str(self.problem.task)}
        return dumped({"config": self.config.model_dump(mode="json"), "problem": problem, "model": self.model})


def kept(content: bytes, config: type[C], trusted: Sequence[str | type] = ()) -> Kept[C]:
    """What `Kept.dump` gave. Raises ModelBroken."""
    found = loaded(content, trusted)
    problem = Problem(**{**found["problem"], "task": LearningTask(found["problem"]["task"])})
    return Kept(config.model_validate(found["config"]), problem, found["model"])


def all_classes(probabilities: Array, seen: Array, classes: int) -> Array:
    """With a column for each class: 0 for those that the training rows had none of. `seen` are the numbers of the
    others, ascending."""
    if len(seen) == classes:
        return probabilities
    found = np.zeros((len(probabilities), classes))
    found[:, seen] = probabilities
    return found
