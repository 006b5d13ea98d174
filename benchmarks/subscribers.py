"""A thousand who listen, on one gateway, while jobs run: how late they hear, what each costs, what the jobs notice.

990 listen to a rare topic, the failures of the probe kind: there are five a second. Ten listen to everything.
Meanwhile no-op jobs run: at a steady rate, or as fast as 32 connections submit them, as in `pipeline`. (If a thousand
listened to everything, that would be a million events a second, more than these cores can write.) An event's age is
taken when its bytes arrive, from the time that its worker gave it: it has been published, folded and stored by then.

`stopped` are a hundred streams of everything whose clients never read, filled until they stand, and two queues on the
broker, one that nobody reads and one whose consumer acknowledges nothing. Each turn has a gateway of its own, whose
memory is compared before and after they have come.
"""

import asyncio
import json
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from urllib.parse import urlsplit

import aio_pika
import psutil

from benchmarks import report
from benchmarks.accounting import Meter
from benchmarks.contenders import BenchmarkError, http_request, listener
from benchmarks.load import Connection, arrivals, open_loop
from benchmarks.pipeline import CONNECTIONS, JOBS, Batch
from benchmarks.runner import WARM_UP, Entrant, Round, Sample, parse, take
from benchmarks.stack import Stack
from messaging.subscriptions import Bounds, Subscriptions

SUBSCRIBERS = 1_000
OF_EVERYTHING = 10
STANDING = 100
"""Few, because the kernel takes some megabytes for each before it makes the gateway wait."""
FILLING = 250
"""Jobs of 15 kB that do that."""
RARE = "system.probe.failed"
BEACON_S = 0.2
FLAT_OUT = "flat out"
CELLS = ("100/s", "300/s", FLAT_OUT)
SECONDS = 8.0
QUICK_SECONDS = 3.0
ALONE, STREAMS, SOCKETS, STOPPED = "alone", "streams", "sockets", "stopped"
GOAL_AGE_MS, GOAL_KB, GOAL_COST = 100, 50, 0.05

_TIME, _STAMP = b'"time":"', 27
_SMALL_BUFFER = 4096


@dataclass
class Subscriber(asyncio.Protocol):
    """One connection. Notes how old each event is when it comes."""

    ask: Sequence[bytes]
    """What it sends at first, and when it is answered."""
    reads: bool = True
    ages_s: list[float] = field(default_factory=list)
    gaps: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.transport.write(self.ask[0])

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if not self.ready.is_set():
            self._begin(data)
        at = data.find(_TIME)
        while at >= 0:
            stamp = data[at + len(_TIME) : at + len(_TIME) + _STAMP]
            if len(stamp) == _STAMP:
                self.ages_s.append(now - datetime.fromisoformat(stamp.decode()).timestamp())
            at = data.find(_TIME, at + _STAMP)
        self.gaps += data.count(b"event: gap") + data.count(b'"type":"gap"')

    def _begin(self, data: bytes) -> None:
        if b"subscribed" in data:
            self.ready.set()
            if not self.reads and self.transport:
                self.transport.pause_reading()
        elif b" 101 " in data and self.transport:
            self.transport.write(self.ask[1])
        elif b" 200 " not in data:
            raise BenchmarkError(f"a subscriber was answered {data[:500]!r}")


def stream_of(stack: Stack, topic: str) -> list[bytes]:
    return [http_request("GET", f"/v1/events?topic={topic.replace('#', '%23')}", headers=stack.key())]


def socket_of(stack: Stack, topic: str) -> list[bytes]:
    headers = {
        **stack.key(),
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "bWlsbHJhY2UtYmVuY2htYXJr"[:22] + "==",
    }
    message = json.dumps({"action": "subscribe", "topic": topic}).encode()
    frame = bytes((0x81, 0x80 | len(message), 0, 0, 0, 0)) + message  # masked with nothing
    return [http_request("GET", "/v1/ws", headers=headers), frame]


async def connect(stack: Stack, ask: Sequence[bytes], *, reads: bool = True) -> Subscriber:
    end = socket.socket()
    if not reads:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
    end.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(end, ("127.0.0.1", stack.port))
    _, subscriber = await loop.create_connection(lambda: Subscriber(ask, reads), sock=end)
    async with asyncio.timeout(30):
        await subscriber.ready.wait()
    return subscriber


@dataclass
class Crowd:
    rare: list[Subscriber] = field(default_factory=list)
    everything: list[Subscriber] = field(default_factory=list)
    kb_each: float = 0.0


@asynccontextmanager
async def crowd(stack: Stack, mode: str) -> AsyncIterator[Crowd]:
    found = Crowd()
    if mode == ALONE:
        yield found
        return
    ask = socket_of if mode == SOCKETS else stream_of
    gateway = stack.processes()["gateway"][0]
    first = [await connect(stack, ask(stack, "#")) for _ in range(OF_EVERYTHING)]
    before = gateway.memory_info().rss
    if mode == STOPPED:
        found.everything = await _many(lambda: connect(stack, ask(stack, "#"), reads=False), STANDING)
        await _fill(stack)
    else:
        found.everything = first
        found.rare = await _many(lambda: connect(stack, ask(stack, RARE)), SUBSCRIBERS - OF_EVERYTHING)
    came = len(found.rare) or len(found.everything)
    found.kb_each = (gateway.memory_info().rss - before) / 1000 / came
    try:
        yield found
    finally:
        for subscriber in (*first, *found.rare, *found.everything):
            if subscriber.transport:
                subscriber.transport.abort()


async def _fill(stack: Stack) -> None:
    body = json.dumps({"kind": "system.probe", "params": {"payload": {"x": "x" * 15_000}}}).encode()
    request = http_request("POST", "/v1/jobs", body, {**stack.key(), "prefer": "wait=10"})
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", stack.port)
    for _ in range(FILLING):
        if (await connection.request(request)).status != 200:
            raise BenchmarkError("a job that fills the streams has not ended")
    connection.close()


async def _many(connecting: Callable[[], Awaitable[Subscriber]], count: int) -> list[Subscriber]:
    found: list[Subscriber] = []
    while len(found) < count:
        found += await asyncio.gather(*(connecting() for _ in range(min(50, count - len(found)))))
    return found


@asynccontextmanager
async def dead_queues(stack: Stack) -> AsyncIterator[None]:
    subscriptions = Subscriptions(stack.environment["RABBITMQ_URL"], None)
    for name in ("dead", "stuck"):
        await subscriptions.create(name, ["#"], Bounds(length=1_000))
    async with await aio_pika.connect(stack.environment["RABBITMQ_URL"]) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1_000)
        await (await channel.get_queue("mr.sub.stuck")).consume(_never_acknowledged)
        try:
            yield
        finally:
            for name in ("dead", "stuck"):
                await subscriptions.remove(name)


async def _never_acknowledged(_message: aio_pika.abc.AbstractIncomingMessage) -> None:
    pass


@asynccontextmanager
async def beacons(stack: Stack) -> AsyncIterator[list[float]]:
    """Five failures a second; the times at which they were asked for."""
    asked: list[float] = []
    body = json.dumps({"kind": "system.probe", "params": {"failure": "reject"}}).encode()
    request = http_request("POST", "/v1/jobs", body, stack.key())

    async def ask() -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", stack.port)
        while True:
            reply = await connection.request(request)
            if reply.status != 202:
                raise BenchmarkError(f"a beacon was answered {reply.status}: {reply.body[:500]!r}")
            asked.append(time.time())
            await asyncio.sleep(BEACON_S)

    asking = asyncio.create_task(ask())
    try:
        yield asked
    finally:
        asking.cancel()


async def measure(turn: Round, seconds: float, jobs: int) -> Sample:
    stack, mode = cast("Stack", turn.entrant.contender), turn.entrant.mode
    await asyncio.to_thread(stack.restart_gateway)
    async with AsyncExitStack() as open_now:
        if mode == STOPPED:
            await open_now.enter_async_context(dead_queues(stack))
        present = await open_now.enter_async_context(crowd(stack, mode))
        asked = await open_now.enter_async_context(beacons(stack))
        await turn.client.connect(CONNECTIONS)
        meter = Meter(_processes(stack))
        started = time.perf_counter()
        if turn.cell == FLAT_OUT:
            jobs = min(jobs, 400) if turn.number == WARM_UP else jobs
            batch = Batch(turn.client, [""] * jobs)
            await batch.submit()
            await batch.read([jobs - 1])
        else:
            schedule = list(arrivals(float(turn.cell.removesuffix("/s")), seconds, seed=turn.number))
            jobs = len(schedule)

            async def submit(number: int) -> None:
                await turn.client.submit(number)

            await open_loop(schedule, submit, turn.client.clock)
        seconds = time.perf_counter() - started
        usage = meter.stop()
        beacon_count = len(asked)
        if present.rare:
            await _all_heard(present.rare, beacon_count)
        return turn.sample(_metrics(present, jobs / seconds, beacon_count, seconds), usage, jobs, _raw(present))


async def _all_heard(rare: Sequence[Subscriber], beacons: int) -> None:
    until = time.perf_counter() + 5
    while any(len(one.ages_s) < beacons for one in rare) and time.perf_counter() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _metrics(present: Crowd, rate: float, beacons: int, seconds: float) -> dict[str, float]:
    rare = [1000 * age for one in present.rare for age in one.ages_s]
    everything = [1000 * age for one in present.everything if one.reads for age in one.ages_s]
    return {
        "jobs/s": rate,
        "rare p50 ms": report.percentile(rare, 50),
        "rare p99 ms": report.percentile(rare, 99),
        "all p99 ms": report.percentile(everything, 99),
        "heard/s": (len(rare) + len(everything)) / seconds,
        "missed": float(sum(max(0, beacons - len(one.ages_s)) for one in present.rare)),
        "gaps": float(sum(one.gaps for one in (*present.rare, *present.everything))),
        "kB each": present.kb_each,
    }


def _raw(present: Crowd) -> dict[str, list[float]]:
    return {"rare age ms": [1000 * age for one in present.rare[::50] for age in one.ages_s]}


def _processes(stack: Stack) -> dict[str, list[psutil.Process]]:
    servers = stack.servers
    return {
        **stack.processes(),
        "broker": listener(urlsplit(servers.rabbitmq_url).port or 5672),
        "redis": listener(urlsplit(servers.redis_url).port or 6379),
        "client": [psutil.Process()],
    }


def costs(samples: Sequence[Sample]) -> str:
    """CPU of all our processes per job, against the same jobs without anybody who listens."""
    rows = []
    for cell in CELLS:
        alone = _billed_ms([s for s in samples if (s.cell, s.entrant) == (cell, ALONE)])
        for mode in (STREAMS, SOCKETS, STOPPED):
            with_them = _billed_ms([s for s in samples if (s.cell, s.entrant) == (cell, mode)])
            if alone and with_them:
                cost = with_them / alone - 1
                rows.append([cell, mode, f"{alone:.2f}", f"{with_them:.2f}", f"{100 * cost:+.1f} %"])
    return report.table(["", "who", "CPU ms per job alone", "with them", "cost"], rows)


def _billed_ms(group: Sequence[Sample]) -> float:
    def of(sample: Sample) -> float:
        return 1000 * sum(s for role, s in sample.usage.cpu_s.items() if role in report.UNSHARED) / sample.jobs

    return statistics.median(map(of, group)) if group else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(__doc__, rounds=3, arguments=arguments)
    seconds, jobs = (QUICK_SECONDS, 600) if options.quick else (SECONDS, JOBS)
    stack = Stack()
    entrants = [Entrant(mode, stack, mode) for mode in (ALONE, STREAMS, SOCKETS, STOPPED)]
    samples = take(options, entrants, CELLS, lambda turn: measure(turn, seconds, jobs))
    print(report.heading("subscribers", f"{SUBSCRIBERS:,} on one gateway, while no-op jobs run", options))
    print(f"\ngoals: p99 below {GOAL_AGE_MS} ms, below {GOAL_KB} kB each, less than {GOAL_COST:.0%} of the pipeline")
    names = ["jobs/s", "rare p50 ms", "rare p99 ms", "all p99 ms", "heard/s", "missed", "gaps", "kB each"]
    print(report.medians(samples, names))
    print(costs(samples))
    print(report.costs(samples))
    print(report.save("subscribers", options, samples))


if __name__ == "__main__":
    main()
