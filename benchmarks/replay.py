"""Dead letters replayed: how many a second, what a kill in the middle costs, and whether each is applied once.

The letters are made by publishing them the way a worker gives a command up; the dead-letters pool stores them, which
is timed too. A replay is timed by its own two entries in the audit log. It runs three times over fresh letters:
`alone` with ledger and workers stopped, `working` while they run the replayed jobs on the same cores, and `killed`:
SIGKILL when half of the letters are marked, after which the supervisor starts the pool again and the reaper ends its
lease, of 2 s here instead of 30; its time includes both. Then every letter must be marked, and every job must have
succeeded, in its first replay.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import uvloop
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks import report
from benchmarks.accounting import Meter
from benchmarks.contenders import BenchmarkError, listener
from benchmarks.runner import Entrant, Options, Sample, parse
from benchmarks.stack import Stack
from messaging import names
from messaging.dead_letter import Forensics, Reason
from messaging.publisher import open_publisher
from messaging.settings import BrokerSettings
from producers.jobs import command_envelope
from producers.outbox import Outbox
from schemas.jobs.system_probe import SYSTEM_PROBE, RunProbe
from storage.blobs import BlobStore

LETTERS = 10_000
QUICK_LETTERS = 1_000
POOLS = "ledger,dead_letters,operations,reaper,diagnostics"
LEASE_S = 2
CELLS = ("alone", "working", "killed")
LOOK_EVERY_S = 0.1
PATIENCE_S = 300.0

Rows = AsyncDatabase[dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    stack: Stack
    store: Rows
    outbox: Outbox
    http: httpx.AsyncClient
    letters: int

    async def measure(self, number: int, cell: str) -> Sample:
        fingerprint = f"bench-{uuid4().hex[:10]}"
        stored_s = await self._bury(fingerprint)
        middle = await self._middle(fingerprint)
        stopped = [self.stack.pool(name) for name in ("ledger", "diagnostics")] if cell == "alone" else []
        with _stopped(stopped):
            meter = Meter(_processes(self.stack))
            replay = await self._start(fingerprint)
            if cell == "killed":
                await self._until(lambda: self._count("dead_letters", middle, 1), "half of it")
                self.stack.pool("operations").kill()
            seconds = await self._duration(replay)
            usage = meter.stop()
        await self._check(fingerprint)
        metrics = {"letters/s": self.letters / seconds, "stored/s": self.letters / stored_s, "seconds": seconds}
        print(f"round {number + 1} {cell:8} " + "  ".join(f"{k} {v:,.1f}" for k, v in metrics.items()), flush=True)
        return Sample("Millrace", number, cell, self.letters, metrics, usage, {})

    async def _bury(self, fingerprint: str) -> float:
        """Give commands up as a worker does, until all are stored. Returns the seconds it took."""
        started = time.perf_counter()
        at_once = asyncio.Semaphore(200)

        async def bury(number: int) -> None:
            async with at_once:
                await self._bury_one(number, fingerprint)

        await asyncio.gather(*map(bury, range(self.letters)))
        wanted = {"fingerprint": fingerprint, "state": "open"}
        await self._until(lambda: self._count("dead_letters", wanted, self.letters), "all letters stored")
        stored_s = time.perf_counter() - started
        dead = {"error.fingerprint": fingerprint, "status": "dead"}
        await self._until(lambda: self._count("jobs", dead, self.letters), "all jobs dead")
        return stored_s

    async def _middle(self, fingerprint: str) -> dict[str, Any]:
        """True of the letter in the middle when the replay has come to it; cheap to ask, so that asking costs the
        replay nothing."""
        oldest_first = self.store["dead_letters"].find({"fingerprint": fingerprint}, {"_id": 1}).sort("died_at", 1)
        ids = [row["_id"] async for row in oldest_first]
        return {"_id": ids[len(ids) // 2], "state": "replayed"}

    async def _bury_one(self, number: int, fingerprint: str) -> None:
        envelope = command_envelope(
            SYSTEM_PROBE, job_id=uuid4().hex, principal="bench", source="bench", traceparent=_TRACEPARENT
        )
        evidence = Forensics(
            reason=Reason.EXHAUSTED,
            queue=names.work_queue(SYSTEM_PROBE.name),
            at=datetime.now(UTC).isoformat(),
            error_type="ProbeFailed",
            error_detail="this probe was asked to raise",
            fingerprint=fingerprint,
            traceback=_TRACEBACK,
            host="bench",
            worker="bench-1",
            code_version="bench",
        )
        body = RunProbe(payload={"n": number}).model_dump_json().encode()
        await self.outbox.bury(envelope.headers(), body, evidence, SYSTEM_PROBE.name)

    async def _start(self, fingerprint: str) -> str:
        answer = await self.http.post("/v1/dead-letters/replay", json={"group": fingerprint})
        if answer.status_code != 202:
            raise BenchmarkError(answer.text)
        return str(answer.json()["id"])

    async def _duration(self, replay: str) -> float:
        ended = f"{replay}.0.ended"
        await self._until(lambda: self._count("audit", {"_id": ended}, 1), "the replay's end")
        entries = {row["_id"]: row async for row in self.store["audit"].find({"target": replay})}
        took = entries[ended]["at"] - entries[f"{replay}.0.started"]["at"]
        replayed = entries[ended]["detail"]["replayed"]
        if replayed != self.letters:
            raise BenchmarkError(f"{replayed} of {self.letters} letters were replayed")
        return float(took.total_seconds())

    async def _check(self, fingerprint: str) -> None:
        """Every letter is marked, and every job succeeded in its first replay, neither earlier nor later."""
        await self._until(lambda: self._marked(fingerprint, self.letters), "all letters marked")
        ids = [row["job_id"] async for row in self.store["dead_letters"].find({"fingerprint": fingerprint})]
        wanted = set(ids)

        async def all_once() -> bool:
            done = self.store["jobs"].find({"status": "succeeded", "generation": 1, "attempt": 1}, {"_id": 1})
            return wanted <= {row["_id"] async for row in done}

        await self._until(all_once, "every job succeeded once", every_s=1.0)

    async def _marked(self, fingerprint: str, count: int) -> bool:
        return await self._count("dead_letters", {"state": "replayed", "fingerprint": fingerprint}, count)

    async def _count(self, collection: str, wanted: dict[str, Any], least: int) -> bool:
        return await self.store[collection].count_documents(wanted) >= least

    async def _until(self, reached: Callable[[], Awaitable[bool]], what: str, every_s: float = LOOK_EVERY_S) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not await reached():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"not within {PATIENCE_S:g} s: {what}")
            await asyncio.sleep(every_s)


_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TRACEBACK = 'Traceback (most recent call last):\n  File "system_probe.py", line 30, in _fail\n' * 10


class _stopped:  # noqa: N801  # used like a function
    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes

    def __enter__(self) -> None:
        for process in self._processes:
            process.suspend()

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.resume()


def _processes(stack: Stack) -> dict[str, list[psutil.Process]]:
    """The replay's own process is a role of its own; one that is killed takes its account along."""
    port = int(stack.environment["RABBITMQ_URL"].rpartition(":")[2].strip("/"))
    return {**stack.processes(), "broker": listener(port), "client": [psutil.Process()]}


@asynccontextmanager
async def _bench(stack: Stack, letters: int) -> AsyncIterator[Bench]:
    broker = BrokerSettings.model_validate({"RABBITMQ_URL": stack.environment["RABBITMQ_URL"]})
    async with (
        AsyncMongoClient[dict[str, Any]](stack.environment["MONGODB_URL"], tz_aware=True) as mongo,
        open_publisher(broker, "bench") as publisher,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.port}", headers=stack.key(), trust_env=False) as http,
    ):
        blobs = BlobStore(stack.environment["BLOB_URL"])
        yield Bench(stack, mongo.get_default_database(), Outbox(publisher, blobs), http, letters)


async def _rounds(stack: Stack, options: Options, letters: int) -> list[Sample]:
    async with _bench(stack, letters) as bench:
        cells = [cell for cell in CELLS if not options.only or cell in options.only]
        return [await bench.measure(number, cell) for number in range(options.rounds) for cell in cells]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(__doc__, rounds=3, arguments=arguments)
    letters = QUICK_LETTERS if options.quick else LETTERS
    os.environ["MILLRACE_LEASE_S"] = str(LEASE_S)
    stack = Stack(pools=POOLS)
    try:
        stack.start(options.servers, Path())
        samples = uvloop.run(_rounds(stack, options, letters))
    finally:
        stack.stop()
    print(report.heading("replay", f"{letters:,} dead letters", options))
    print(report.medians(samples, ["letters/s", "stored/s", "seconds"]))
    print(report.costs(samples))
    print(report.durability([Entrant("Millrace", stack)], samples))
    print("\nEvery letter was marked, and every job succeeded in its first replay.")
    print(report.save("replay", options, samples))


if __name__ == "__main__":
    main()
