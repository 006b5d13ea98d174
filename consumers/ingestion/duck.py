"""DuckDB as ingestion uses it: one query after the other, each of which tells how far it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consumers.ingestion.conversion import Limits
from consumers.runtime.duck import BoundedDuck

Row = tuple[Any, ...]
Share = Callable[[float], None]
"""Is told which share of a step is done."""

_SETTINGS = ("enable_progress_bar = true", "enable_progress_bar_print = false")


def unheard(_: float) -> None:
    """For steps that are over before anybody asks."""


def part(share: Share, low: float, high: float) -> Share:
    """For a step that is the part of a whole from `low` to `high`."""
    return lambda done: share(low + (high - low) * done)


class Duck(BoundedDuck):
    def __init__(self, into: Path, limits: Limits) -> None:
        super().__init__(
            into / "spill",
            memory_limit_mb=limits.memory_limit_mb,
            threads=limits.threads,
            settings=_SETTINGS,
        )
        self._threads = limits.threads

    def run(self, sql: str, share: Share = unheard) -> list[Row]:
        """All rows of the answer. What `share` raises ends the query."""
        return self.call(
            lambda connection: connection.execute(sql).fetchall(),
            lambda: share(max(0.0, self._connection.query_progress()) / 100),
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One thread has all of the memory."""
        self.run("SET threads = 1")
        yield
        self.run(f"SET threads = {self._threads}")

    def register(self, name: str, reader: object) -> None:
        self._connection.register(name, reader)
