"""An uploaded CSV file into Parquet: ours against DuckDB's own copy, which guesses types from the head and stops at
the first row that does not fit. Both get the same memory and threads, and a process of their own for each turn.

The table is made up: the columns of a shop's orders, scaled by noise, with a few missing values.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from benchmarks import report
from benchmarks.environment import ROOT
from consumers.ingestion.conversion import Limits
from consumers.ingestion.convert import convert
from consumers.runtime.duck import literal

GOAL = 0.7
LIMITS = Limits()
_ROWS_PER_MB = 8_600
_ORDERS = """
    SELECT range AS id, 'C' || lpad(CAST(CAST(random() * 1e6 AS INTEGER) AS VARCHAR), 7, '0') AS customer,
        DATE '2020-01-01' + CAST(range / 2000 AS INTEGER) AS day,
        TIMESTAMP '2020-01-01' + to_seconds(CAST(random() * 1e8 AS BIGINT)) AS paid_at,
        ['north', 'south', 'east', 'west'][CAST(floor(random() * 4) AS INTEGER) + 1] AS region,
        CAST(1 + floor(-ln(random()) * 3) AS INTEGER) AS quantity, round(exp(3 + 2 * random()), 2) AS price,
        CASE WHEN random() > 0.05 THEN round(random(), 3) END AS discount, random() < 0.1 AS returned,
        random() * 180 - 90 AS latitude, left(md5(CAST(random() AS VARCHAR)), 20) AS note
    FROM range({rows})
"""


@dataclass(frozen=True)
class Turn:
    entrant: str
    round: int
    seconds: float
    mb_per_s: float
    peak_mib: float


def make(path: Path, mb: int) -> None:
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        orders = _ORDERS.format(rows=mb * _ROWS_PER_MB)
        connection.execute(f"COPY ({orders}) TO {literal(str(path))} (HEADER)")


def ours(source: Path, into: Path) -> None:
    convert(source, source.name, into, limits=LIMITS)


def theirs(source: Path, into: Path) -> None:
    memory = f"{LIMITS.memory_limit_mb}MB"
    config = {"memory_limit": memory, "threads": str(LIMITS.threads), "temp_directory": str(into)}
    with duckdb.connect(config={**config}) as connection:
        target = literal(str(into / "table.parquet"))
        read = f"FROM read_csv({literal(str(source))})"
        connection.execute(f"COPY ({read}) TO {target} (FORMAT parquet, COMPRESSION zstd)")


ENTRANTS = {"Millrace": ours, "DuckDB": theirs}


def measured(entrant: str, source: Path) -> tuple[float, float]:
    """Seconds, and the process's peak of memory in MiB."""
    with tempfile.TemporaryDirectory() as into:
        began = time.perf_counter()
        ENTRANTS[entrant](source, Path(into))
        took = time.perf_counter() - began
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def turn(entrant: str, number: int, source: Path) -> Turn:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        seconds, peak = process.submit(measured, entrant, source).result()
    return Turn(entrant, number, seconds, source.stat().st_size / 1e6 / seconds, peak)


def rounds(source: Path, count: int) -> list[Turn]:
    """Another one starts each round, so that no one always follows the same."""
    order = list(ENTRANTS)
    return [turn(entrant, number, source) for number in range(count) for entrant in order[:: 1 - 2 * (number % 2)]]


def table(turns: Sequence[Turn]) -> str:
    by = {entrant: [turn for turn in turns if turn.entrant == entrant] for entrant in ENTRANTS}
    ratios = [own.mb_per_s / their.mb_per_s for own, their in zip(by["Millrace"], by["DuckDB"], strict=True)]
    verdict = "met" if statistics.median(ratios) >= GOAL else "NOT met"
    ratio = ["Millrace / DuckDB", "MB/s", report.spread(ratios, 2), f">= {GOAL}: {verdict}"]
    rows = [
        [
            entrant,
            *(
                report.spread([getattr(turn, name) for turn in own], 1)
                for name in ("mb_per_s", "seconds", "peak_mib")
            ),
        ]
        for entrant, own in by.items()
    ]
    first = report.table(["ratio", "of", "median", "goal"], [ratio])
    return first + "\n" + report.table(["contender", "MB/s", "seconds", "peak MiB"], rows)


def save(turns: Sequence[Turn], mb: int) -> str:
    report.RESULTS.mkdir(exist_ok=True)
    path = report.RESULTS / f"ingest-{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    document = {
        "benchmark": "ingest",
        "mb": mb,
        "machine": dict(report.machine()),
        "samples": list(map(asdict, turns)),
    }
    path.write_text(json.dumps(document, indent=1))
    return f"\nraw samples: {path.relative_to(ROOT)}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        source = Path(folder) / "orders.csv"
        make(source, given.mb)
        size = source.stat().st_size
        turns = rounds(source, given.rounds)
    print(f"\ningest: a CSV of {size / 1e6:,.0f} MB, {LIMITS.threads} threads, {LIMITS.memory_limit_mb} MB; ", end="")
    print(f"rounds, interleaved: {given.rounds}; median (least-greatest)")
    print(*(f"  {key}: {value}" for key, value in report.machine().items() if key not in ("peers", "ours")), sep="\n")
    print(table(turns))
    print(save(turns, given.mb))


if __name__ == "__main__":
    main()
