"""What a fault is, and what it acts upon."""

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

from tests.faults.cluster import Cluster
from tests.faults.load import Load
from tests.faults.observer import Messages

MOMENT_S = 12.0
"""How long a fault waits for its moment. The load brings most of them within a second."""

EVERYTHING = "everything"
"""The part of a fault that strikes alone."""


@dataclass
class Scene:
    cluster: Cluster
    load: Load
    messages: Messages
    rng: random.Random
    poison: int = 0
    """Messages sent so far that are none of ours."""


class Fault(ABC):
    """One harm. `inject` does it, `heal` undoes what would not pass by itself `lasts_s` later."""

    name: str
    part: str
    """What it harms. Two faults of one part are never injected together: they would undo each other."""
    lasts_s: float = 0.0

    @abstractmethod
    async def inject(self, scene: Scene) -> bool:
        """Return when it is done. False when its moment did not come, so that only harm done is counted."""

    async def heal(self, scene: Scene) -> None:  # noqa: B027  what was killed is started again without us
        """Nothing to do for most."""

    def __str__(self) -> str:
        return self.name
