"""DuckDB with bounds: its memory, its threads, its temporary files, no extensions and no network.

A query runs in a thread of its own. In the main thread it would hold back signals until it ends, and what a handler
raises then is swallowed: a child process that is told to stop would answer after the query, which we have seen take a
minute, and would take the stop for a failed query.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import duckdb

_LOOK_EVERY_S = 0.2
_INTERRUPT_AGAIN_S = 0.05

T = TypeVar("T")


class BoundedDuck:
    """A private database in memory, which spills into `spill`."""

    def __init__(self, spill: Path, *, memory_limit_mb: int, threads: int, settings: tuple[str, ...] = ()) -> None:
        self._connection = duckdb.connect(
            config={
                "memory_limit": f"{memory_limit_mb}MB",
                "threads": threads,
                "temp_directory": str(spill),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        for setting in ("TimeZone = 'UTC'", *settings):
            self._connection.execute(f"SET {setting}")
        self._thread = ThreadPoolExecutor(1, "duckdb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        self._connection.close()

    def call(self, query: Callable[[duckdb.DuckDBPyConnection], T], look: Callable[[], None] = lambda: None) -> T:
        """The answer; `look` is called now and then meanwhile. Whatever is raised while it waits, by a signal
        handler or by `look`, ends the query."""
        running = self._thread.submit(query, self._connection)
        try:
            while not wait([running], _LOOK_EVERY_S).done:
                look()
        except BaseException:
            while not wait([running], _INTERRUPT_AGAIN_S).done:  # one that comes before the query has begun is lost
                self._connection.interrupt()
            raise
        return running.result()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
