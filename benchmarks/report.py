"""What a run prints and keeps: the ratio first, then medians with their spread, costs, durability, raw samples."""

import json
import math
import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.accounting import NOISY_CORES
from benchmarks.environment import REQUIREMENTS, ROOT
from benchmarks.runner import Entrant, Options, Sample

RESULTS = ROOT / "benchmarks" / "results"
ROLES = (
    "gateway",
    "worker",
    "ledger",
    "consumers",
    "store",
    "supervisor",
    "broker",
    "redis",
    "client",
    "others",
)
UNSHARED = frozenset(ROLES) - {"client", "others"}
"""The roles that are a contender's bill; the load generator and the contenders at rest are not."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was measured, never one between two."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def heading(name: str, what: str, options: Options) -> str:
    lines = [
        "",
        f"{name}: {what}; rounds, interleaved: {options.rounds}; median (least-greatest)",
        *(f"  {key}: {value}" for key, value in machine().items()),
    ]
    if options.quick:
        lines.append("  QUICK RUN: it shows that the benchmark works; its numbers mean nothing.")
    return "\n".join(lines)


@cache
def machine() -> Mapping[str, str]:
    pins = [line for line in REQUIREMENTS.read_text().split() if "==" in line]
    ours = [f"{name}=={version(name)}" for name in ("fastapi", "uvicorn", "faststream", "aio-pika", "pymongo")]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} x {_cpu_model()}, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "peers": " ".join(pins),
        "ours": " ".join(ours),
    }


def _cpu_model() -> str:
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name")]
    return models[0] if models else platform.machine()


def groups(samples: Sequence[Sample]) -> Iterator[tuple[str, str, list[Sample]]]:
    """(cell, entrant, its samples), in the order of their first appearance in a cell."""
    keys = dict.fromkeys((sample.cell, sample.entrant) for sample in samples)
    cells = dict.fromkeys(cell for cell, _ in keys)
    for cell in cells:
        for entrant in (entrant for at, entrant in keys if at == cell):
            yield cell, entrant, [s for s in samples if (s.cell, s.entrant) == (cell, entrant)]


def ratios(
    samples: Sequence[Sample],
    metric: str,
    ours: str,
    goal: float,
    smaller: bool = False,
    against: Sequence[str] | None = None,
    goal_cell: str | None = None,
) -> str:
    """Ours over each peer, within each round: what disturbed a round disturbed both."""
    rows = []
    for cell, peer, group in groups(samples):
        theirs = {sample.round: sample.metrics[metric] for sample in group}
        own = {s.round: s.metrics[metric] for s in samples if (s.cell, s.entrant) == (cell, ours)}
        if peer.startswith("Millrace") or not own or (against and peer not in against):
            continue
        values = [own[number] / theirs[number] for number in own if number in theirs]
        met = statistics.median(values) <= goal if smaller else statistics.median(values) >= goal
        wanted = f"{'<=' if smaller else '>='} {goal:g}: {'met' if met else 'NOT met'}"
        judged = goal_cell is None or cell == goal_cell
        rows.append([f"{ours} / {peer}", f"{metric} {cell}".strip(), spread(values, 2), wanted if judged else ""])
    return table(["ratio", "of", "median", "goal"], rows) if rows else f"(no ratio of {metric}: one side did not run)"


def spread(values: Sequence[float], digits: int) -> str:
    least, middle, most = min(values), statistics.median(values), max(values)
    if len(values) == 1:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({least:,.{digits}f}-{most:,.{digits}f})"


def medians(samples: Sequence[Sample], metrics: Sequence[str]) -> str:
    rows = []
    for cell, entrant, group in groups(samples):
        columns = [[sample.metrics[metric] for sample in group] for metric in metrics]
        digits = 0 if "/s" in metrics[0] else 1
        noise = [sample.usage.noise_cores for sample in group]
        noisy = " noisy" if statistics.median(noise) > NOISY_CORES else ""
        rows.append([cell, entrant, *(spread(column, digits) for column in columns), spread(noise, 2) + noisy])
    return table(["", "contender", *metrics, "noise, cores"], rows)


def costs(samples: Sequence[Sample]) -> str:
    """CPU and memory, medians over the rounds; all of the broker's and Redis's use is billed to the one at work."""
    seen = [role for role in ROLES if any(role in sample.usage.cpu_s for sample in samples)]
    rows = []
    for cell, entrant, group in groups(samples):
        per_job = {role: _median_cpu_ms(group, role) for role in seen}
        total_s = statistics.median(sum(_billed(sample.usage.cpu_s).values()) for sample in group)
        peak = statistics.median(sum(_billed(sample.usage.peak_mib).values()) for sample in group)
        billed = sum(value for role, value in per_job.items() if role in UNSHARED)
        cells = [f"{per_job[role]:.2f}" if _has(group, role) else "-" for role in seen]
        rows.append([cell, entrant, *cells, f"{billed:.2f}", f"{total_s:.2f}", f"{peak:.0f}"])
    head = ["", "CPU ms per job", *seen, "total but client, others", "CPU-s a round", "peak MiB"]
    return table(head, rows)


def _has(group: Sequence[Sample], role: str) -> bool:
    return any(role in sample.usage.cpu_s for sample in group)


def _median_cpu_ms(group: Sequence[Sample], role: str) -> float:
    return statistics.median(1000 * sample.usage.cpu_s.get(role, 0.0) / sample.jobs for sample in group)


def _billed(by_role: Mapping[str, float]) -> dict[str, float]:
    return {role: value for role, value in by_role.items() if role in UNSHARED}


def durability(entrants: Sequence[Entrant], samples: Sequence[Sample]) -> str:
    ran = {sample.entrant for sample in samples}
    lines = [f"  {entrant.label}: {entrant.contender.durability}" for entrant in entrants if entrant.label in ran]
    return "\n".join(["", "what SIGKILL loses", *lines])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(map(str, head)), *(list(row) for row in rows)]
    keep = [at for at in range(len(head)) if any(row[at] for row in lines[1:])]
    widths = {at: max(len(row[at]) for row in lines) for at in keep}
    printed = ["  ".join(row[at].ljust(widths[at]) for at in keep).rstrip() for row in lines]
    return "\n".join(["", printed[0], "-" * max(map(len, printed)), *printed[1:]])


def save(name: str, options: Options, samples: Sequence[Sample]) -> str:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    document = {
        "benchmark": name,
        "quick": options.quick,
        "machine": dict(machine()),
        "samples": [asdict(sample) for sample in samples],
    }
    path.write_text(json.dumps(document, indent=1))
    return f"\nraw samples: {path.relative_to(ROOT)}"
