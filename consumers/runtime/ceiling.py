"""When a pool stops taking work by itself: a handler says that it cannot go on, or everything it does fails.

Then the dead letters would fill with jobs that nothing is wrong with. A paused kind takes nothing, tries one job,
then waits twice as long, until one comes through.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

FIRST_PROBE_S = 5.0
LONGEST_PROBE_S = 60.0


class Taking(StrEnum):
    ALL = "taking"
    ONE = "probing"
    NOTHING = "paused"


@dataclass
class Ceiling:
    """Decides for one kind in one process. `most_dead_letters` in a row, without one job that came to an end, and the
    kind is paused instead of adding another."""

    most_dead_letters: int
    clock: Callable[[], float] = time.monotonic
    taking: Taking = Taking.ALL
    reason: str = ""
    _in_a_row: int = 0
    _wait_s: float = FIRST_PROBE_S
    _probe_at: float = field(default=0.0)
    _since: datetime | None = None
    _postponed_until: datetime | None = None

    def ended(self) -> None:
        """A job came to its end: the handler works."""
        self._in_a_row, self._wait_s = 0, FIRST_PROBE_S
        self.taking, self.reason, self._since = Taking.ALL, "", None

    def admits_dead_letter(self, error: Exception) -> bool:
        """Whether a job whose attempts are exhausted is given up on. Otherwise its last attempt counts as none."""
        if self.taking is Taking.ALL and self._in_a_row < self.most_dead_letters:
            self._in_a_row += 1
            return True
        self.halt(f"{self._in_a_row} jobs in a row became dead letters; the last: {type(error).__name__}: {error}")
        return False

    def halt(self, reason: str) -> None:
        """Take nothing until the next probe."""
        if self.taking is Taking.NOTHING:
            return
        self._wait_s = min(self._wait_s * 2, LONGEST_PROBE_S) if self.taking is Taking.ONE else FIRST_PROBE_S
        self._since = self._since or datetime.now(UTC)
        self.taking, self.reason = Taking.NOTHING, reason[:500]
        self._probe_at = self.clock() + self._wait_s

    def probe(self) -> None:
        self.taking = Taking.ONE

    def postponed(self, delay_s: float) -> None:
        """A job was sent to a delay tier that nobody else knows to be there."""
        until = datetime.now(UTC) + timedelta(seconds=delay_s)
        self._postponed_until = max(self._postponed_until or until, until)

    @property
    def until_probe_s(self) -> float:
        return max(0.0, self._probe_at - self.clock())

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = {"state": self.taking}
        if self._since is not None:
            found |= {"reason": self.reason, "since": self._since.isoformat()}
        if self.taking is Taking.NOTHING:
            found["probe_at"] = (datetime.now(UTC) + timedelta(seconds=self.until_probe_s)).isoformat()
        if self._postponed_until is not None:
            found["postponed_until"] = self._postponed_until.isoformat()
        return found
