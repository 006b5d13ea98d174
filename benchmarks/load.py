"""The load generator: HTTP/1.1 on raw asyncio, because it shares the cores with what it measures.

It is the same for every contender. A request costs it about 0.1 ms of CPU; a full client costs several times that.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import httptools

from benchmarks.clock import Clock
from benchmarks.contenders import BenchmarkError, Contender

REQUEST_TIMEOUT_S = 30


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, raw: bytes) -> Reply:
        if self._transport is None or not self.is_open:
            raise BenchmarkError("the contender closed a connection")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # What asyncio calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BenchmarkError(f"connection lost in a request: {exc}"))

    # What httptools calls.
    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        reply = Reply(self._parser.get_status_code(), b"".join(self._body))
        self._body = []
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(reply)


class Client:
    """What a benchmark does to one contender, over a pool of connections."""

    def __init__(self, contender: Contender, clock: Clock) -> None:
        self.contender = contender
        self.clock = clock
        self._idle: list[Connection] = []

    async def connect(self, connections: int) -> None:
        self._idle = [await self._open() for _ in range(connections)]

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle = []

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(Connection, "127.0.0.1", self.contender.port)
        return protocol

    async def _send(self, raw: bytes) -> Reply:
        connection = await self._take()
        reply = await connection.request(raw)
        self._idle.append(connection)
        return reply

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:  # servers close connections that idle for some seconds
                return connection
        # An open loop needs as many connections as it has requests in flight; the pool grows to that.
        return await self._open()

    async def submit(self, number: int) -> str:
        reply = await self._send(self.contender.submission(number))
        if reply.status != 202:
            raise BenchmarkError(f"{self.contender.name}: submit answered {reply.status}: {reply.body[:500]!r}")
        return str(reply.json()["id"])

    async def finished(self, job_id: str, number: int) -> bool:
        """Whether the job is done, by GET; raises when it is done and not what was asked for."""
        reply = await self._send(self.contender.reading(job_id))
        # An accepted job that is not readable yet is a matter of time, not an error.
        return reply.status != 404 and self._verdict(reply, number)

    async def submit_and_wait(self, number: int) -> None:
        """One job in one request, for a contender that can wait for it."""
        reply = await self._send(self.contender.submission(number, {"prefer": "wait=10"}))
        if not self._verdict(reply, number):
            raise BenchmarkError(f"{self.contender.name}: a wait ended before the job: {reply.body[:500]!r}")

    async def wait_polling(self, job_id: str, number: int, interval_s: float = 0.004) -> None:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await self.clock.sleep(interval_s)
            while not await self.finished(job_id, number):
                await self.clock.sleep(interval_s)

    def _verdict(self, reply: Reply, number: int) -> bool:
        job = reply.json()
        if reply.status in (200, 202) and job["status"] in ("queued", "running"):
            return False
        if reply.status == 200 and job["status"] == "succeeded" and job["result"]["payload"] == {"n": number}:
            return True
        raise BenchmarkError(f"{self.contender.name}: job {number} answered {reply.status}: {reply.body[:500]!r}")


async def closed_loop(numbers: Iterable[int], work: Callable[[int], Awaitable[None]], workers: int) -> None:
    """Run `work` for each number, `workers` at a time; each takes the next as soon as it has finished one."""
    remaining = iter(numbers)

    async def run() -> None:
        for number in remaining:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(run())


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Poisson arrival times; the seed gives every contender of a round the same ones."""
    source = random.Random(seed)
    at = source.expovariate(rate)
    while at < seconds:
        yield at
        at += source.expovariate(rate)


@dataclass(frozen=True)
class Timings:
    latencies_s: list[float]
    lateness_s: list[float]
    """How long after its scheduled time each request was sent: the generator's own share of the latency."""


async def open_loop(schedule: Iterable[float], work: Callable[[int], Awaitable[None]], clock: Clock) -> Timings:
    """Start `work` at each scheduled time, finished or not what came before; latency counts from the schedule."""
    timings = Timings([], [])
    start = time.perf_counter() + 0.05

    async def run(number: int, due: float) -> None:
        timings.lateness_s.append(time.perf_counter() - due)
        await work(number)
        timings.latencies_s.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number, at in enumerate(schedule):
            await clock.sleep_until(start + at)
            group.create_task(run(number, start + at))
    return timings
