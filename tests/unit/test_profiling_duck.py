"""Queries keep to their memory, and end when the process is told to stop."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from consumers.profiling.duck import Duck, Limits
from consumers.runtime.child import Stopped
from consumers.runtime.duck import literal, quoted

ENDLESS = "SELECT sum(hash(a.range + b.range) % 7) FROM range(1000000) a, range(1000000) b"


@pytest.fixture
def stop_raises() -> Iterator[None]:
    def stop(_signum: int, _frame: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("stop_raises")
def test_a_stop_ends_a_running_query_and_is_what_the_handler_sees() -> None:
    with Duck(Limits()) as duck:
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()
        started = time.monotonic()
        with pytest.raises(Stopped):
            duck.rows(ENDLESS)
        assert time.monotonic() - started < 5
        assert duck.rows("SELECT 1") == [(1,)], "of use for a last checkpoint"


def test_what_does_not_fit_into_memory_is_spilled() -> None:
    many = "SELECT count(*) FROM (SELECT range, count(*) AS n FROM range(4000000) GROUP BY range)"
    with Duck(Limits(memory_limit_mb=64)) as duck:
        assert duck.rows(many) == [(4_000_000,)]


def test_aggregates_are_fused_however_many_there_are() -> None:
    with Duck(Limits()) as duck:
        found = duck.gather("range(10)", {number: f"max(range) + {number}" for number in range(250)})
    assert found == {number: 9 + number for number in range(250)}


def test_quotes_are_kept_inside() -> None:
    with Duck(Limits()) as duck:
        assert duck.rows(f"SELECT {literal(quoted('it') + chr(39))}") == [('"it"\'',)]
