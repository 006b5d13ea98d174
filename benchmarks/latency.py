"""Latency in an open loop: from the scheduled time of a submission to its result in the client's hands.

Jobs arrive as a Poisson process at a fixed rate, whatever has become of those before; what a slow contender makes
wait counts (no coordinated omission). Our client submits with `Prefer: wait=10` and gets the finished job in the
answer. The peers have no such thing, so theirs reads the job every 4 ms; for comparison ours is also read like that.
"""

from collections.abc import Sequence

from benchmarks import contenders, report
from benchmarks.load import arrivals, open_loop
from benchmarks.runner import Entrant, Round, Sample, parse, take
from benchmarks.stack import Stack

RATES = ("20/s", "100/s", "300/s")
GOAL_RATE = "100/s"
SECONDS = 8.0
QUICK_SECONDS = 2.0
CONNECTIONS = 64
POLLED = "polled"
P999_SAMPLES = 1_000
"""With fewer samples, the 99.9th percentile is the maximum by another name."""


async def measure(turn: Round, seconds: float) -> Sample:
    client = turn.client
    await client.connect(CONNECTIONS)

    async def work(number: int) -> None:
        if client.contender.waits and turn.entrant.mode != POLLED:
            await client.submit_and_wait(number)
        else:
            await client.wait_polling(await client.submit(number), number)

    rate = float(turn.cell.removesuffix("/s"))
    schedule = list(arrivals(rate, seconds, seed=turn.number))
    meter = turn.start_meter()
    timings = await open_loop(schedule, work, client.clock)
    usage = meter.stop()
    latencies = [1000 * value for value in timings.latencies_s]
    lateness = [1000 * value for value in timings.lateness_s]
    metrics = {
        "p50 ms": report.percentile(latencies, 50),
        "p99 ms": report.percentile(latencies, 99),
        "sent late p99 ms": report.percentile(lateness, 99),
    }
    return turn.sample(metrics, usage, len(schedule), {"latency ms": latencies, "sent late ms": lateness})


def tails(samples: list[Sample]) -> str:
    """The 99.9th percentile, over all rounds together: one round has too few for it."""
    rows = []
    for cell, entrant, group in report.groups(samples):
        pooled = [value for sample in group for value in sample.raw["latency ms"]]
        tail = f"{report.percentile(pooled, 99.9):.1f}" if len(pooled) >= P999_SAMPLES else "-"
        rows.append([cell, entrant, f"{len(pooled):,}", tail, f"{max(pooled):.1f}"])
    return report.table(["rate", "all rounds", "jobs", "p99.9 ms", "max ms"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(__doc__, rounds=3, arguments=arguments)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    peers = [contenders.celery(), contenders.dramatiq(), contenders.taskiq()]
    stack = Stack()
    entrants = [
        Entrant("Millrace", stack),
        Entrant("Millrace polled", stack, POLLED),
        *(Entrant(peer.name, peer) for peer in peers),
    ]
    samples = take(options, entrants, RATES, lambda turn: measure(turn, seconds))
    print(report.heading("latency", f"Poisson arrivals for {seconds:g} s at each rate, no-op jobs", options))
    for metric in ("p50 ms", "p99 ms"):
        print(report.ratios(samples, metric, "Millrace", goal=1.0, smaller=True, goal_cell=GOAL_RATE))
    print(report.medians(samples, ["p50 ms", "p99 ms", "sent late p99 ms"]))
    print(tails(samples))
    print(report.costs(samples))
    print(report.durability(entrants, samples))
    print(report.save("latency", options, samples))


if __name__ == "__main__":
    main()
