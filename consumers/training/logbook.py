"""Between two chunks: is a checkpoint due, is it time to stop, and what is told meanwhile."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from consumers.learning.plugins import Trainer
from consumers.training.state import Fit, State

# A checkpoint goes to the blob store, where it stays: it may take so much of the time, and of the disk.
_SHARE, _BYTES_PER_S = 0.05, 1_000_000


class Logbook:
    def __init__(
        self,
        state: State,
        trainers: Mapping[str, Trainer[Any, Any]],
        *,
        keep: Callable[[bytes], None],
        tell: Callable[[float, str, float | None], None],
        finishing: Callable[[], bool] = lambda: False,
        budget_s: float,
        every_s: float,
        careful: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """A checkpoint is kept every `every_s` seconds, for 0 after every chunk, and when `careful` before everything
        that could be the last thing that this process does. `tell` takes a fraction, a message, and the seconds that
        are left, if known."""
        self.state, self._trainers = state, trainers
        self._keep, self._tell, self._finishing, self._now = keep, tell, finishing, now
        self._budget_s, self._every_s, self._careful = budget_s, every_s, careful
        self._began = now() - state.elapsed_s
        self._due = now() + every_s

    @property
    def elapsed_s(self) -> float:
        """Over all attempts, as far as checkpoints tell."""
        return self._now() - self._began

    @property
    def over(self) -> bool:
        """Whether what was found so far has to do."""
        return self._finishing() or self.elapsed_s >= self._budget_s

    def tick(self) -> None:
        """After each chunk."""
        if self._now() >= self._due:
            self._checkpoint()

    def turn(self) -> None:
        """Before another fold, trial or fit."""
        if self._careful or self._now() >= self._due:
            self._checkpoint()

    def tell(self, fraction: float, message: str) -> None:
        left = None if self.state.ended else max(0.0, self._budget_s - self.elapsed_s)
        self._tell(min(max(fraction, 0.0), 1.0), message, left)

    def searched(self, trials: int, most: int | None) -> float:
        """Which share of the search is done."""
        by_time = self.elapsed_s / self._budget_s
        return max(by_time, trials / most) if most else by_time

    def _checkpoint(self) -> None:
        began = self._now()
        self.state.elapsed_s = self.elapsed_s
        content = self.state.dump(self._dumped)
        self._keep(content)
        seldom = max((self._now() - began) / _SHARE, len(content) / _BYTES_PER_S) if self._every_s else 0.0
        self._due = self._now() + max(self._every_s, seldom)

    def _dumped(self, fit: Fit) -> bytes:
        if fit.state is None and fit.dump is not None:  # resumed, and not gone on yet
            return fit.dump
        return self._trainers[fit.trainer].dump(fit.state)
