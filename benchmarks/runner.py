"""Starts the contenders, takes interleaved rounds of each, and keeps every sample."""

import argparse
import asyncio
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import aio_pika
import psutil
import uvloop

from benchmarks import environment
from benchmarks.accounting import NOISY_CORES, Meter, Usage, quiet
from benchmarks.clock import Clock
from benchmarks.contenders import BenchmarkError, Contender, Servers, listener
from benchmarks.load import Client
from benchmarks.stack import Stack

SETTLE_S = 3.0
"""The workers are still importing and connecting when the gateways listen."""
PATIENCE_S = 15.0
MOST_TRIES = 2
TURN_TIMEOUT_S = 300
WARM_UP = -1


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
    """From 0, or WARM_UP."""
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
    signal.signal(signal.SIGTERM, _terminated)
    with _started(options, chosen) as servers:
        return uvloop.run(Ring(options, chosen, measure, servers).rounds(cells))


def _terminated(number: int, _: FrameType | None) -> None:
    """Unwinds, so that nothing which was started here stays behind."""
    raise SystemExit(128 + number)


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


class Ring:
    """Takes the turns, interleaved, and accounts for each."""

    def __init__(self, options: Options, entrants: Sequence[Entrant], measure: Measure, servers: Servers) -> None:
        self._options = options
        self._entrants = entrants
        self._measure = measure
        self._servers = servers

    async def rounds(self, cells: Sequence[str]) -> list[Sample]:
        await asyncio.sleep(SETTLE_S)
        for entrant in self._entrants:  # warms up, and does not count
            await self._turn(entrant, WARM_UP, cells[-1])
        samples: list[Sample] = []
        for number in range(self._options.rounds):
            # Another one starts each round, so that no one always follows the same.
            start = number % len(self._entrants)
            for cell in cells:
                order = [*self._entrants[start:], *self._entrants[:start]]
                samples.extend([await self._calm_turn(entrant, number, cell) for entrant in order])
        return samples

    async def _calm_turn(self, entrant: Entrant, number: int, cell: str) -> Sample:
        """Taken again when others disturbed it: chosen by what they did, never by how well the entrant did."""
        tries: list[Sample] = []
        for _ in range(1 if self._options.quick else MOST_TRIES):
            await quiet(0 if self._options.quick else PATIENCE_S)
            tries.append(await self._turn(entrant, number, cell))
            if tries[-1].usage.noise_cores <= NOISY_CORES:
                break
        return min(tries, key=lambda sample: sample.usage.noise_cores)

    async def _turn(self, entrant: Entrant, number: int, cell: str) -> Sample:
        processes = {
            **entrant.contender.processes(),
            "broker": listener(urlsplit(self._servers.rabbitmq_url).port or 5672),
            "redis": listener(urlsplit(self._servers.redis_url).port or 6379),
            "client": [psutil.Process()],
        }
        resting = self._resting(entrant)
        with Clock() as clock:
            client = Client(entrant.contender, clock)
            turn = Round(entrant, client, number, cell, lambda: Meter(processes, resting))
            sample = await _guarded(turn, self._measure)
        print(_progress(sample), flush=True)
        return sample

    def _resting(self, active: Entrant) -> list[psutil.Process]:
        contenders = {id(entrant.contender): entrant.contender for entrant in self._entrants}
        del contenders[id(active.contender)]
        return [process for rest in contenders.values() for group in rest.processes().values() for process in group]


async def _guarded(turn: Round, measure: Measure) -> Sample:
    try:
        async with asyncio.timeout(TURN_TIMEOUT_S):
            return await measure(turn)
    except* BenchmarkError as group:  # 32 connections fail alike: one of them says enough
        raise group.exceptions[0] from None
    except* TimeoutError:
        raise BenchmarkError(f"{turn.entrant.label}: not finished after {TURN_TIMEOUT_S} s") from None
    finally:
        await turn.client.close()


def _progress(sample: Sample) -> str:
    metrics = "  ".join(f"{name} {value:,.1f}" for name, value in sample.metrics.items())
    name = "warm-up" if sample.round == WARM_UP else f"round {sample.round + 1}"
    return f"{name:8} {sample.entrant:18} {sample.cell:6} {metrics}  noise {sample.usage.noise_cores:.2f} cores"
