"""What an accepted submission costs: `POST` alone, in a closed loop of 32 connections.

The bare route does the least that an honest 202 needs: it publishes a persistent message to a quorum queue,
through aio-pika, and waits for the confirm. Nothing consumes its messages. Ours is measured once like that, with the
consumers stopped, and once as it lives, with the consumers working off the jobs on the same cores.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext

from benchmarks import contenders, report
from benchmarks.load import closed_loop
from benchmarks.runner import WARM_UP, Entrant, Round, Sample, parse, take
from benchmarks.stack import Stack

CONNECTIONS = 32
REQUESTS = 3_000
QUICK_REQUESTS = 300
WARM_UP_REQUESTS = 500
ALONE = "alone"
POLL_S = 0.05


async def measure(turn: Round, requests: int) -> Sample:
    requests = min(requests, WARM_UP_REQUESTS) if turn.number == WARM_UP else requests
    await turn.client.connect(CONNECTIONS)
    accepted: list[tuple[str, int]] = []

    async def submit(number: int) -> None:
        accepted.append((await turn.client.submit(number), number))

    contender = turn.entrant.contender
    with contender.paused() if isinstance(contender, Stack) and turn.entrant.mode == ALONE else nullcontext():
        meter = turn.start_meter()
        start = time.perf_counter()
        await closed_loop(range(requests), submit, CONNECTIONS)
        seconds = time.perf_counter() - start
        usage = meter.stop()
    if isinstance(contender, Stack):  # what was accepted must not run in the next one's turn
        for job_id, number in accepted[-CONNECTIONS:]:
            await turn.client.wait_polling(job_id, number, POLL_S)
    return turn.sample({"requests/s": requests / seconds}, usage, requests)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(__doc__, rounds=5, arguments=arguments)
    requests = QUICK_REQUESTS if options.quick else REQUESTS
    stack = Stack()
    entrants = [
        Entrant("Millrace alone", stack, ALONE),
        Entrant("Millrace", stack),
        Entrant("bare route", contenders.bare()),
    ]
    samples = take(options, entrants, [""], lambda turn: measure(turn, requests))
    print(report.heading("accept", f"{requests:,} submissions, {CONNECTIONS} connections", options))
    for label in ("Millrace alone", "Millrace"):
        print(report.ratios(samples, "requests/s", label, goal=0.7, against=["bare route"]))
    print(report.medians(samples, ["requests/s"]))
    print(report.costs(samples))
    print(report.durability(entrants, samples))
    print(report.save("accept", options, samples))


if __name__ == "__main__":
    main()
