"""DuckDB within its bounds: it stops when it is told to, and reaches nothing but files."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import duckdb
import pytest

from consumers.ingestion.conversion import Limits
from consumers.ingestion.duck import Duck
from consumers.runtime.duck import literal, quoted

ENDLESS = "SELECT sum(a.range * b.range) FROM range(100_000_000) a, range(1_000_000) b"
PROMPTLY_S = 2.0


class Stopped(BaseException):
    """What a child process raises in its handler of SIGTERM."""


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Duck]:
    with Duck(tmp_path, Limits()) as duck:
        yield duck


def test_sigterm_ends_a_running_query(duck: Duck) -> None:
    def stop(_: int, __: FrameType | None) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    began = time.monotonic()
    try:
        with pytest.raises(Stopped):
            duck.run(ENDLESS)
    finally:
        signal.signal(signal.SIGTERM, before)
        timer.join()
    assert time.monotonic() - began < 0.5 + PROMPTLY_S
    assert duck.run("SELECT 1") == [(1,)], "it can still be used"


def test_what_progress_raises_ends_the_query_too(duck: Duck) -> None:
    def stop(_: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        duck.run(ENDLESS, stop)


def test_no_extension_is_fetched(duck: Duck) -> None:
    with pytest.raises(duckdb.Error):
        duck.run("SELECT * FROM 'https://127.0.0.1:9/t.parquet'")
    settings = "autoinstall_known_extensions, autoload_known_extensions"
    found = duck.run(
        f"SELECT value FROM duckdb_settings() WHERE name IN ({', '.join(map(literal, settings.split(', ')))})"
    )
    assert found == [("false",), ("false",)]


def test_names_and_texts_are_quoted(duck: Duck) -> None:
    name, text = 'a"; DROP', "it's"
    assert duck.run(f"SELECT {quoted(name)} FROM (SELECT {literal(text)} AS {quoted(name)})") == [(text,)]
