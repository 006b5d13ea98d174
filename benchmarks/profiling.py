"""A profile against DuckDB's SUMMARIZE, which tells much less, on the same file with equal threads and memory; and
against fg-data-profiling, which tells as much, in its minimal mode and without limits, where its memory suffices.

The table is the files of the standard library, as rows of paths, sizes, times and first lines of docstrings, drawn
again and again with noise. Each turn is a process of its own, whose peak memory counts everything in it: Python,
numpy and DuckDB. Importing is not timed. Goals: at most 1.5 times as long as SUMMARIZE, in 512 MB, and a twentieth of
what fg-data-profiling takes.

    make bench NAME=profiling ARGS="--rows 1000000,10000000"
"""

import argparse
import ast
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import environment, report
from benchmarks.accounting import Meter
from benchmarks.contenders import Servers
from benchmarks.runner import Options, Sample
from consumers.profiling.duck import Duck, Limits
from consumers.profiling.engine import profile
from consumers.runtime.duck import literal

OURS, DUCKDB, FG = "Millrace profile", "DuckDB SUMMARIZE", "fg-data-profiling"
GOALS = {DUCKDB: 1.5, FG: 1 / 20}
CAP_MIB = 512e6 / 2**20
QUICK_ROWS = 100_000
_MOST_ROWS = {FG: 1_000_000}
"""More take more than 40 GB of it."""
_GROUP_ROWS = 122_880
"""DuckDB's own size of a row group."""
_SEED = 4
_FG_PEER = environment.ROOT / "benchmarks/peers/fg_profiling_peer.py"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short smoke run: the numbers mean nothing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="1000000", help="numbers of rows, comma-separated")
    parser.add_argument("--turn", nargs=2, metavar=("ENTRANT", "PARQUET"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.turn:
        return _turn(given.turn[0], Path(given.turn[1]))
    environment.prepare()
    options = Options(given.quick, 1 if given.quick else given.rounds, frozenset(), Servers("", ""))
    sizes = [QUICK_ROWS] if given.quick else [int(rows) for rows in given.rows.split(",")]
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as scratch:
        samples = [sample for rows in sizes for sample in _rounds(options, rows, Path(scratch))]
    print(report.heading("profiling", f"Parquet of {', '.join(f'{rows:,}' for rows in sizes)} rows", options))
    for peer, goal in GOALS.items():
        for metric in ("seconds", "CPU-s"):
            print(report.ratios(samples, metric, OURS, goal, smaller=True, against=[peer]))
    print(report.medians(samples, ["seconds", "CPU-s", "peak MiB"]))
    peak = max(sample.metrics["peak MiB"] for sample in samples if sample.entrant == OURS)
    print(
        f"\npeak memory of a profile: {peak:,.0f} MiB, cap {CAP_MIB:,.0f}: {'met' if peak <= CAP_MIB else 'NOT met'}"
    )
    print(report.save("profiling", options, samples))
    return None


def _rounds(options: Options, rows: int, scratch: Path) -> list[Sample]:
    parquet = scratch / f"{rows}.parquet"
    started = time.perf_counter()
    write(parquet, rows)
    size_mb = parquet.stat().st_size / 1e6
    print(f"{rows:,} rows, {size_mb:,.0f} MB, written in {time.perf_counter() - started:,.0f} s", flush=True)
    entrants = [entrant for entrant in (OURS, DUCKDB, FG) if rows <= _MOST_ROWS.get(entrant, rows)]
    for entrant in (OURS, DUCKDB):  # warms up, and does not count
        _measure(entrant, -1, parquet, rows)
    # Another one starts each round, so that no one always follows the same.
    starts = [number % len(entrants) for number in range(options.rounds)]
    orders = [[*entrants[start:], *entrants[:start]] for start in starts]
    return [_measure(entrant, number, parquet, rows) for number, order in enumerate(orders) for entrant in order]


def _measure(entrant: str, number: int, parquet: Path, rows: int) -> Sample:
    command = [sys.executable, "-m", "benchmarks.profiling", "--turn", entrant, str(parquet)]
    if entrant == FG:
        command = [str(environment.BIN / "python"), str(_FG_PEER), str(parquet)]
    with subprocess.Popen(command, cwd=environment.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        meter = Meter({"worker": [psutil.Process(child.pid)]})
        assert child.stdout is not None
        line = child.stdout.readline()
        usage = meter.stop()
    metrics = json.loads(line)
    print(f"round {number + 1} {rows:>11,} {entrant:17} " + "  ".join(f"{k} {v:,.2f}" for k, v in metrics.items()))
    return Sample(entrant, number, f"{rows:,} rows", 1, metrics, usage, {})


def _turn(entrant: str, parquet: Path) -> None:
    """In the child. It stays until its standard input ends, so that it can be accounted for."""
    work = _ENTRANTS[entrant]
    started, used = time.perf_counter(), time.process_time()
    work(parquet)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - used
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "CPU-s": cpu_s, "peak MiB": peak_mib}), flush=True)
    sys.stdin.read()


def _summarize(parquet: Path) -> None:
    with Duck(Limits()) as duck:
        duck.rows(f"SUMMARIZE FROM read_parquet({literal(str(parquet))})")


def _profile(parquet: Path) -> None:
    profile(parquet, name="benchmark", target="size")


_ENTRANTS: dict[str, Callable[[Path], None]] = {OURS: _profile, DUCKDB: _summarize}


def write(parquet: Path, rows: int) -> None:
    """In row groups, so that any number of rows takes little memory."""
    files = library()
    rng = np.random.default_rng(_SEED)
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, _GROUP_ROWS):
        group = scaled(files, start, min(_GROUP_ROWS, rows - start), rng)
        writer = writer or pq.ParquetWriter(parquet, group.schema, compression="zstd")
        writer.write_table(group)
    if writer is not None:
        writer.close()


def library() -> pa.Table:
    """The modules of the standard library."""
    home = Path(ast.__file__).parent
    rows = [_file(path, home) for path in sorted(home.rglob("*.py")) if "site-packages" not in path.parts]
    return pa.Table.from_pylist(rows)


def _file(path: Path, home: Path) -> dict[str, object]:
    content = path.read_text(errors="replace")
    try:
        doc = ast.get_docstring(ast.parse(content)) or ""
    except (SyntaxError, ValueError):  # some are there to be wrong
        doc = ""
    relative = path.relative_to(home)
    return {
        "path": str(relative),
        "package": relative.parts[0],
        "size": len(content),
        "lines": content.count("\n"),
        "modified": path.stat().st_mtime_ns // 1000,
        "doc": doc.partition("\n")[0],
    }


def scaled(files: pa.Table, start: int, rows: int, rng: np.random.Generator) -> pa.Table:
    drawn = files.take(pa.array(rng.integers(0, len(files), rows)))
    size = np.maximum(0, drawn["size"].to_numpy() * rng.lognormal(0, 0.3, rows)).astype(np.int64)
    numbers = rng.integers(0, 1_000_000_000, rows)
    modified = drawn["modified"].to_numpy() + rng.integers(-(10**13), 10**13, rows)
    return pa.table(
        {
            "id": np.arange(start, start + rows),
            "owner": _joined("user", _text(numbers % 300_000), "@example.org"),
            "path": _joined("v", _text(numbers % 977), "/", drawn["path"]),
            "package": drawn["package"].combine_chunks().dictionary_encode(),
            "size": size,
            "lines": drawn["lines"],
            "density": pa.array(size / np.maximum(1, drawn["lines"].to_numpy()), mask=rng.random(rows) < 0.03),
            "weight": rng.normal(70, 12, rows),
            "score": pa.array(rng.integers(0, 11, rows), mask=rng.random(rows) < 0.1),
            "public": drawn["path"].to_numpy() > "m",
            "modified": pa.array(modified.astype("datetime64[us]")),
            "day": pa.array(modified.astype("datetime64[us]").astype("datetime64[D]")),
            "doc": drawn["doc"],
        }
    )


def _text(numbers: npt.NDArray[np.int64]) -> "pa.Array[Any]":
    return pc.cast(pa.array(numbers), pa.string())


def _joined(*parts: Any) -> "pa.ChunkedArray[Any]":
    return pc.binary_join_element_wise(*parts, "")


if __name__ == "__main__":
    main()
