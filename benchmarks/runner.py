"""Starts the contenders, takes interleaved rounds of each, and keeps every sample."""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import psutil
import uvloop

from benchmarks import environment
from benchmarks.accounting import Meter, Usage, quiet
from benchmarks.clock import Clock
from benchmarks.contenders import BenchmarkError, Contender, Servers, listener
from benchmarks.load import Client
from benchmarks.stack import Stack

ROUND_TIMEOUT_S = 300


@dataclass(frozen=True)
class Entrant:
    """A contender and the way in which it is measured; one contender may enter in several."""

    label: str
    contender: Contender
    mode: str = ""


@dataclass(frozen=True)
class Options:
    quick: bool
    rounds: int
    only: frozenset[str]
    servers: Servers


@dataclass(frozen=True)
class Sample:
    entrant: str
    round: int
    cell: str
    """Which of a benchmark's settings, such as the rate; empty where there is one."""
    jobs: int
    metrics: dict[str, float]
    usage: Usage
    raw: dict[str, list[float]]


@dataclass(frozen=True)
class Round:
    """One turn of one entrant: what a benchmark's `measure` is given."""

    entrant: Entrant
    client: Client
    number: int
    """From 0; the warm-up is -1."""
    cell: str
    start_meter: Callable[[], Meter]

    def sample(
        self, metrics: dict[str, float], usage: Usage, jobs: int, raw: dict[str, list[float]] | None = None
    ) -> Sample:
        return Sample(self.entrant.label, self.number, self.cell, jobs, metrics, usage, raw or {})


Measure = Callable[[Round], Awaitable[Sample]]


def parse(description: str, rounds: int, arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a short smoke run: the numbers mean nothing")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", default="", help="entrants, comma-separated; the default is all")
    parser.add_argument("--rabbitmq-url", help="where Millrace does not run (default: RABBITMQ_URL)")
    parser.add_argument("--redis-url", help="where Millrace does not run (default: REDIS_URL)")
    given = parser.parse_args(arguments)
    rabbitmq = given.rabbitmq_url or os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")
    redis = given.redis_url or os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
    only = frozenset(name.strip().casefold() for name in given.only.split(",") if name.strip())
    return Options(given.quick, 1 if given.quick else given.rounds, only, Servers(rabbitmq, redis))


def take(options: Options, entrants: Sequence[Entrant], cells: Sequence[str], measure: Measure) -> list[Sample]:
    """All rounds of all entrants, in one event loop."""
    chosen = [entrant for entrant in entrants if not options.only or entrant.label.casefold() in options.only]
    if not chosen:
        raise SystemExit(f"no entrant is called so; there are {', '.join(entrant.label for entrant in entrants)}")
    environment.prepare()
    with _started(options, chosen) as servers:
        return uvloop.run(_rounds(options, chosen, cells, measure, servers))


@contextmanager
def _started(options: Options, entrants: Sequence[Entrant]) -> Iterator[Servers]:
    """All contenders stay up for the whole run: what the idle ones use is reported as `others`."""
    contenders = {id(entrant.contender): entrant.contender for entrant in entrants}.values()
    servers = options.servers
    logs = Path(tempfile.mkdtemp(prefix="millrace-bench-"))
    with ExitStack() as running:
        # Ours first: its private broker and Redis are those that the peers use.
        for contender in sorted(contenders, key=lambda contender: not isinstance(contender, Stack)):
            uvloop.run(delete_queues(servers, contender.queues))
            running.callback(contender.stop)
            print(f"starting {contender.name} (logs in {logs})", flush=True)
            contender.start(servers, logs)
            if isinstance(contender, Stack):
                servers = contender.servers
        yield servers
    if servers == options.servers:  # a private broker is gone by now, and its queues with it
        uvloop.run(delete_queues(servers, [queue for contender in contenders for queue in contender.queues]))


async def delete_queues(servers: Servers, queues: Sequence[str]) -> None:
    if queues:
        async with await aio_pika.connect(servers.rabbitmq_url) as connection:
            channel = await connection.channel()
            for queue in queues:
                await channel.queue_delete(queue)


async def _rounds(
    options: Options, entrants: Sequence[Entrant], cells: Sequence[str], measure: Measure, servers: Servers
) -> list[Sample]:
    await asyncio.sleep(3)  # workers are still importing and connecting
    samples: list[Sample] = []
    for number in range(-1, options.rounds):  # the first one warms up and does not count
        for cell in cells[-1:] if number < 0 else cells:
            for entrant in _rotated(entrants, number):
                await quiet()
                samples.append(await _turn(entrant, entrants, number, cell, measure, servers))
                print(_progress(samples[-1]), flush=True)
    return [sample for sample in samples if sample.round >= 0]


def _rotated(entrants: Sequence[Entrant], number: int) -> list[Entrant]:
    """Another one starts each round, so that no one always follows the same."""
    start = number % len(entrants)
    return [*entrants[start:], *entrants[:start]]


async def _turn(
    entrant: Entrant,
    entrants: Sequence[Entrant],
    number: int,
    cell: str,
    measure: Measure,
    servers: Servers,
) -> Sample:
    bystanders = {
        id(other.contender): other.contender for other in entrants if other.contender is not entrant.contender
    }
    others = [p for contender in bystanders.values() for group in contender.processes().values() for p in group]
    processes = {
        **entrant.contender.processes(),
        "broker": listener(urlsplit(servers.rabbitmq_url).port or 5672),
        "redis": listener(urlsplit(servers.redis_url).port or 6379),
        "client": [psutil.Process()],
    }
    with Clock() as clock:
        client = Client(entrant.contender, clock)
        turn = Round(entrant, client, number, cell, lambda: Meter(processes, others))
        return await _guarded(turn, measure)


async def _guarded(turn: Round, measure: Measure) -> Sample:
    try:
        async with asyncio.timeout(ROUND_TIMEOUT_S):
            return await measure(turn)
    except* BenchmarkError as group:  # 32 connections fail alike: one of them says enough
        raise group.exceptions[0] from None
    except* TimeoutError:
        raise BenchmarkError(f"{turn.entrant.label}: not finished after {ROUND_TIMEOUT_S} s") from None
    finally:
        await turn.client.close()


def _progress(sample: Sample) -> str:
    metrics = "  ".join(f"{name} {value:,.1f}" for name, value in sample.metrics.items())
    name = "warm-up" if sample.round < 0 else f"round {sample.round + 1}"
    return f"{name:8} {sample.entrant:18} {sample.cell:6} {metrics}  noise {sample.usage.noise_cores:.2f} cores"
