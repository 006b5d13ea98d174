"""A prediction for one row through the whole pipeline, at low load, in an open loop: from the scheduled moment until
the answer is in the client's hands. HTTP with `Prefer: wait`, broker, worker, model, outcome, ledger, store, feed.

A no-op job goes the same way in turns, so that it can be told what of it is the model. The model is gradient
boosting, 100 trees, trained here on scikit-learn's bundled diabetes set; what is asked about are its rows.
"""

import argparse
import asyncio
import csv
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from sklearn.datasets import load_diabetes

from benchmarks import report
from benchmarks.clock import Clock
from benchmarks.contenders import BenchmarkError, Servers, http_request
from benchmarks.environment import ROOT
from benchmarks.load import Connection, arrivals, open_loop
from benchmarks.stack import Stack
from millrace.client import Client
from schemas.resources import Job

GOAL_MS = 15.0
POOLS = "ledger,dead_letters+operations+reaper,diagnostics+prediction,ingestion+profiling+training"
"""As the stack starts them, but for inference, which takes no part."""
NAME, TARGET = "diabetes", "progression"
_WARMING = 20
_WAIT_S = 120.0


@dataclass(frozen=True)
class Turn:
    what: str
    round: int
    latencies_ms: list[float]
    lateness_ms: list[float]


def rows() -> list[dict[str, float]]:
    found = load_diabetes(scaled=False)
    names = [*found.feature_names, TARGET]
    return [
        dict(zip(names, map(float, [*row, y]), strict=True)) for row, y in zip(found.data, found.target, strict=True)
    ]


def trained(client: Client, folder: Path) -> None:
    path = folder / f"{NAME}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows()[0]))
        writer.writeheader()
        writer.writerows(rows())
    _succeeded(client.datasets.add(path, NAME, wait=_WAIT_S))
    _succeeded(client.models.train(NAME, TARGET, name=NAME, trainer="hist-gradient-boosting", wait=_WAIT_S))


def _succeeded(job: Job) -> None:
    if job.status != "succeeded":
        raise BenchmarkError(f"{job.kind} is {job.status}: {job.error}")


def predict_body(number: int) -> tuple[str, dict[str, Any]]:
    row = rows()[number % 400]
    row.pop(TARGET)
    return f"/v1/models/{NAME}/predict", {"rows": [row]}


def probe_body(number: int) -> tuple[str, dict[str, Any]]:
    return "/v1/jobs", {"kind": "system.probe", "params": {"payload": {"n": number}}}


BODIES = {"predict": predict_body, "no-op": probe_body}


async def turn(stack: Stack, what: str, number: int, rate: float, seconds: float) -> Turn:
    body = BODIES[what]
    headers = {**stack.key(), "prefer": "wait=10"}
    schedule = list(arrivals(rate, seconds, seed=number))
    requests = []
    for each in range(len(schedule) + _WARMING):
        path, content = body(each)
        requests.append(http_request("POST", path, json.dumps(content).encode(), headers))
    loop = asyncio.get_running_loop()
    idle: list[Connection] = []

    async def ask(index: int) -> None:
        connection = idle.pop() if idle else None
        if connection is None or not connection.is_open:
            _, connection = await loop.create_connection(Connection, "127.0.0.1", stack.port)
        reply = await connection.request(requests[index])
        if reply.status != 200 or reply.json()["status"] != "succeeded":
            raise BenchmarkError(f"{what} answered {reply.status}: {reply.body[:500]!r}")
        idle.append(connection)

    for index in range(len(schedule), len(requests)):
        await ask(index)
    with Clock() as clock:
        timings = await open_loop(schedule, ask, clock)
    for connection in idle:
        connection.close()
    return Turn(
        what, number, [1000 * value for value in timings.latencies_s], [1000 * value for value in timings.lateness_s]
    )


async def rounds(stack: Stack, count: int, rate: float, seconds: float) -> list[Turn]:
    """Another one starts each round, so that no one always follows the same."""
    order = list(BODIES)
    return [
        await turn(stack, what, number, rate, seconds)
        for number in range(count)
        for what in order[:: 1 - 2 * (number % 2)]
    ]


def table(turns: Sequence[Turn]) -> str:
    found = []
    for what in BODIES:
        own = [each for each in turns if each.what == what]
        medians, tails = ([report.percentile(each.latencies_ms, p) for each in own] for p in (50, 99))
        late = [report.percentile(each.lateness_ms, 99) for each in own]
        goal = f"<= {GOAL_MS:g} ms: {'met' if sorted(medians)[len(medians) // 2] <= GOAL_MS else 'NOT met'}"
        spreads = [report.spread(values, 1) for values in (medians, tails, late)]
        found.append([what, *spreads, goal if what == "predict" else ""])
    return report.table(["job", "p50 ms", "p99 ms", "sent late p99 ms", "goal for p50"], found)


def save(turns: Sequence[Turn], given: argparse.Namespace) -> str:
    report.RESULTS.mkdir(exist_ok=True)
    path = report.RESULTS / f"predict-{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    document = {"benchmark": "predict", "machine": dict(report.machine()), **vars(given)}
    path.write_text(json.dumps({**document, "samples": list(map(asdict, turns))}, indent=1))
    return f"\nraw samples: {path.relative_to(ROOT)}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second (default 10)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a turn (default 20)")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    stack = Stack(pools=POOLS)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        try:
            stack.start(Servers("", ""), Path(folder))
            with Client(f"http://127.0.0.1:{stack.port}", stack.key()["x-api-key"]) as client:
                trained(client, Path(folder))
            turns = uvloop.run(rounds(stack, given.rounds, given.rate, given.seconds))
        finally:
            stack.stop()
    print(
        f"\npredict: Poisson arrivals, {given.rate:g}/s for {given.seconds:g} s; {given.rounds} rounds, in turns; ",
        end="",
    )
    print("median (least-greatest)")
    print(*(f"  {key}: {value}" for key, value in report.machine().items() if key not in ("peers", "ours")), sep="\n")
    print(table(turns))
    print(save(turns, given))


if __name__ == "__main__":
    main()
