"""When a crashed process is started again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Doubling delays, from the start again for what stayed up long enough."""

    first_s: float = 0.5
    most_s: float = 30.0
    stable_s: float = 60.0

    def delay_s(self, crashes: int) -> float:
        """Before the restart that follows this many crashes in a row, at least one."""
        return min(self.most_s, self.first_s * 2.0 ** min(crashes - 1, 30))

    def crashes(self, before: int, uptime_s: float) -> int:
        """How many crashes in a row it is now, after one that came at this uptime."""
        return 1 if uptime_s >= self.stable_s else before + 1
