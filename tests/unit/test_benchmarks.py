"""The load generator and the arithmetic of the benchmarks: numbers that are published must be counted right."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from benchmarks import report
from benchmarks.accounting import Meter, Usage
from benchmarks.clock import Clock
from benchmarks.contenders import NO_HEADERS, BenchmarkError, Headers, Peer, http_request, submission_body
from benchmarks.load import Client, arrivals, closed_loop, open_loop
from benchmarks.runner import Sample


@dataclass
class Stub(Peer):
    """A gateway in this process: every job needs two readings until it is done."""

    answer: dict[str, object] | None = None
    """What it says of each job, where that is not the truth."""
    refuses: bool = False
    served: int = 0
    connections: int = 0
    read: dict[str, int] = field(default_factory=dict)

    def submission(self, number: int, headers: Headers = NO_HEADERS) -> bytes:
        return http_request("POST", f"/jobs?n={number}", submission_body(number), headers)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
                status, job = self._job(head, await reader.readexactly(length))
                body = json.dumps(self.answer if self.answer and status == 200 else job).encode()
                writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: {len(body)}\r\n\r\n".encode())
                await asyncio.sleep(0)
                writer.write(body)
                self.served += 1
                if self.served == 3:
                    break
        writer.close()

    def _job(self, head: str, body: bytes) -> tuple[int, dict[str, object]]:
        if self.refuses:
            return 429, {"title": "too many"}
        if head.startswith("POST"):
            number = json.loads(body)["params"]["payload"]["n"]
            waited = "prefer: wait=10" in head
            return (200, _finished(number)) if waited else (202, {"id": str(number), "status": "queued"})
        job_id = head.split()[1].rpartition("/")[2]
        self.read[job_id] = self.read.get(job_id, 0) + 1
        return 200, _finished(int(job_id)) if self.read[job_id] > 1 else {"id": job_id, "status": "running"}


def _finished(number: int) -> dict[str, object]:
    return {"id": str(number), "status": "succeeded", "result": {"payload": {"n": number}}}


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    stub = Stub("stub", "none", "nothing", 0)
    async with await asyncio.start_server(stub.handle, "127.0.0.1", 0) as server:
        stub.port = server.sockets[0].getsockname()[1]
        yield stub


@pytest.fixture
async def clock() -> AsyncIterator[Clock]:
    with Clock() as clock:
        yield clock


@pytest.fixture
async def client(stub: Stub, clock: Clock) -> AsyncIterator[Client]:
    client = Client(stub, clock)
    await client.connect(1)
    yield client
    await client.close()


async def test_a_job_is_submitted_and_polled_until_it_is_done(client: Client, stub: Stub) -> None:
    job_id = await client.submit(7)
    await client.wait_polling(job_id, 7, interval_s=0.001)
    assert (job_id, stub.read) == ("7", {"7": 2})


async def test_a_connection_that_the_gateway_closed_is_replaced(client: Client, stub: Stub) -> None:
    for number in range(4):  # the stub closes after the third
        await client.submit(number)
        await asyncio.sleep(0.01)
    assert stub.connections == 2


async def test_a_wait_is_one_request(client: Client, stub: Stub) -> None:
    await client.submit_and_wait(3)
    assert stub.served == 1


@pytest.mark.parametrize(
    "answer",
    [_finished(8), {"id": "7", "status": "failed"}, {"id": "7", "status": "succeeded", "result": {"payload": {}}}],
)
async def test_another_result_than_asked_for_ends_the_benchmark(
    client: Client, stub: Stub, answer: dict[str, object]
) -> None:
    stub.answer = answer
    with pytest.raises(BenchmarkError, match="stub: job 7"):
        await client.wait_polling(await client.submit(7), 7, interval_s=0.001)


async def test_a_refused_submission_ends_the_benchmark(client: Client, stub: Stub) -> None:
    stub.refuses = True
    with pytest.raises(BenchmarkError, match="submit answered 429"):
        await client.submit(1)


async def test_the_clock_sleeps_exactly_and_wakes_in_order(clock: Clock) -> None:
    woken: list[tuple[int, float]] = []

    async def sleep(milliseconds: int) -> None:
        start = time.perf_counter()
        await clock.sleep(milliseconds / 1000)
        woken.append((milliseconds, time.perf_counter() - start))

    await asyncio.gather(*(sleep(milliseconds) for milliseconds in (30, 5, 10, 0)))
    assert [milliseconds for milliseconds, _ in woken] == [0, 5, 10, 30]
    assert all(took >= milliseconds / 1000 for milliseconds, took in woken)


async def test_an_open_loop_counts_from_the_schedule(clock: Clock) -> None:
    """A stall of the generator itself must show in the latency of those that it delayed."""

    async def work(number: int) -> None:
        if number == 0:
            time.sleep(0.05)  # noqa: ASYNC251  the stall that must show

    timings = await open_loop([0.0, 0.001], work, clock)
    assert timings.latencies_s[1] >= 0.045
    assert timings.lateness_s[1] >= 0.045


async def test_a_closed_loop_runs_so_many_at_a_time() -> None:
    running = most = 0
    done: list[int] = []

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(number)

    await closed_loop(range(20), work, workers=4)
    assert (sorted(done), most) == (list(range(20)), 4)


def test_arrivals_repeat_and_keep_the_rate() -> None:
    first = list(arrivals(100, 50, seed=1))
    assert first == list(arrivals(100, 50, seed=1)) != list(arrivals(100, 50, seed=2))
    assert first == sorted(first)
    assert 4_600 < len(first) < 5_400


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (99.9, 100), (100, 100), (1, 1)])
def test_percentiles_are_values_that_were_measured(percent: float, expected: float) -> None:
    assert report.percentile(list(range(100, 0, -1)), percent) == expected


def test_cpu_and_memory_are_counted() -> None:
    meter = Meter({"me": [psutil.Process()]})
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass
    usage = meter.stop()
    assert usage.cpu_s["me"] >= 0.08
    assert usage.peak_mib["me"] > 1
    assert "others" in usage.cpu_s
    assert "others" not in usage.peak_mib


def _samples() -> Iterator[Sample]:
    usage = Usage(1.0, {"gateway": 0.5, "broker": 0.25, "client": 0.1}, {"gateway": 80.0, "client": 30.0}, 0.0)
    for number, (ours, theirs) in enumerate([(300, 200), (100, 100), (250, 200)]):
        yield Sample("Millrace", number, "", 100, {"jobs/s": ours}, usage, {})
        yield Sample("peer", number, "", 100, {"jobs/s": theirs}, usage, {})


def test_ratios_are_taken_within_each_round() -> None:
    text = report.ratios(list(_samples()), "jobs/s", "Millrace", goal=1.2)
    assert "Millrace / peer" in text
    assert "1.25 (1.00-1.50)" in text
    assert ">= 1.2: met" in text
    assert "NOT met" in report.ratios(list(_samples()), "jobs/s", "Millrace", goal=1.2, smaller=True)


def test_the_generator_is_not_on_the_bill() -> None:
    row = report.costs(list(_samples())).splitlines()[-1].split()
    assert row == ["peer", "5.00", "2.50", "1.00", "7.50", "0.75", "80"]
