"""Throughput of the whole path: HTTP submit, broker, worker, result stored, readable by GET.

A closed loop of 32 connections submits no-op jobs as fast as each contender takes them. The clock stops when all
results are stored. Asking for each of them meanwhile would load the gateways more than the jobs do, so the clock
watches the newest jobs: the last one first, then those before it that may have been overtaken. When it has stopped,
every job is read and its result compared; a job that is found unfinished sets the clock to the time when it is done.
That reading has a rate of its own: from the first submission to the last result read.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks import contenders, report
from benchmarks.load import Client, closed_loop
from benchmarks.runner import WARM_UP, Entrant, Round, Sample, parse, take
from benchmarks.stack import Stack

CONNECTIONS = 32
JOBS = 2_000
QUICK_JOBS = 200
WARM_UP_JOBS = 400
OVERTAKING = 128
"""How many of the newest jobs the clock watches: more than any contender prefetches."""
POLL_S = 0.01


@dataclass
class Batch:
    """The jobs of one round, and when the last of them was seen finished."""

    client: Client
    ids: list[str]
    done_at: float = 0.0
    late: int = 0

    async def submit(self) -> None:
        async def submit(number: int) -> None:
            self.ids[number] = await self.client.submit(number)

        await closed_loop(range(len(self.ids)), submit, CONNECTIONS)

    async def read(self, numbers: Iterable[int], workers: int = CONNECTIONS) -> None:
        async def read(number: int) -> None:
            if not await self.client.finished(self.ids[number], number):
                self.late += 1
                await self.client.wait_polling(self.ids[number], number, POLL_S)
                self.done_at = time.perf_counter()

        await closed_loop(numbers, read, workers)


async def measure(turn: Round, jobs: int) -> Sample:
    jobs = min(jobs, WARM_UP_JOBS) if turn.number == WARM_UP else jobs
    await turn.client.connect(CONNECTIONS)
    batch = Batch(turn.client, [""] * jobs)
    meter = turn.start_meter()
    start = time.perf_counter()
    await batch.submit()
    submitted_at = time.perf_counter()
    await batch.read([jobs - 1])
    await batch.read(range(jobs - 2, max(-1, jobs - OVERTAKING), -1), workers=8)
    batch.done_at, batch.late = time.perf_counter(), 0
    usage = meter.stop()
    await batch.read(reversed(range(jobs)))
    metrics = {
        "jobs/s": jobs / (batch.done_at - start),
        "submits/s": jobs / (submitted_at - start),
        "read/s": jobs / (time.perf_counter() - start),
        "late": float(batch.late),
    }
    return turn.sample(metrics, usage, jobs)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(__doc__, rounds=5, arguments=arguments)
    jobs = QUICK_JOBS if options.quick else JOBS
    peers = [contenders.celery(), contenders.dramatiq(), contenders.taskiq()]
    entrants = [Entrant("Millrace", Stack()), *(Entrant(peer.name, peer) for peer in peers)]
    samples = take(options, entrants, [""], lambda turn: measure(turn, jobs))
    print(report.heading("pipeline", f"{jobs:,} no-op jobs, {CONNECTIONS} connections", options))
    print(report.ratios(samples, "jobs/s", "Millrace", goal=1.0))
    print(report.medians(samples, ["jobs/s", "submits/s", "read/s"]))
    print(report.costs(samples))
    print(report.durability(entrants, samples))
    print(report.save("pipeline", options, samples))


if __name__ == "__main__":
    main()
