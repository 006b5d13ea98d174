"""The ledger on a real store: order, duplicates, competitors, poison and absence change nothing."""

import asyncio
import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumers.ledger.fold import command_patch, event_patch
from messaging import names
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.jobs.system_probe import RunProbe
from schemas.lifecycle import (
    JobDied,
    JobError,
    JobProgressed,
    JobRetryScheduled,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
)
from storage.blobs import BlobStore
from storage.database import open_database
from storage.jobs import JobPatch, JobProjection
from tests.conftest import Deployment
from tests.support.jobs import all_succeeded, some_succeeded, submit
from tests.support.processes import PoolProcess, gateway, running
from tests.support.servers import Servers
from tests.support.waiting import eventually
from tests.support.wire import Row, command, letters, publish, raw_store

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
BODY = b'{"payload":{"a":1}}'


def life(job_id: str) -> list[tuple[Envelope, bytes]]:
    """A job that fails once and then succeeds, as its messages."""
    first = command(RunProbe, job_id=job_id, subject=job_id, time=NOW)
    second = first.model_copy(update={"attempt": 2})
    error = JobError(type="attempt-failed", title="The attempt failed", detail="x", fingerprint="f")
    told: list[tuple[Envelope, LifecycleEvent, int]] = [
        (first, JobStarted(started_at=NOW, worker="w1"), 0),
        (first, JobProgressed(fraction=0.5, message="half"), 1),
        (second, JobRetryScheduled(error=error, not_before=NOW), 0),
        (second, JobStarted(started_at=NOW + timedelta(seconds=1), worker="w2"), 0),
        (second, succeeded(), 0),
    ]
    events = [
        (envelope.event(event, source="w", sequence=sequence).model_copy(update={"time": NOW}), dumped(event))
        for envelope, event, sequence in told
    ]
    return [(first, BODY), *events]


def succeeded() -> JobSucceeded:
    return JobSucceeded(started_at=NOW, finished_at=NOW + timedelta(seconds=2), result={"payload": {"a": 1}})


def dumped(contract: Contract) -> bytes:
    return contract.model_dump_json().encode()


def patch_of(envelope: Envelope, body: bytes) -> JobPatch:
    events: tuple[type[LifecycleEvent], ...] = (JobStarted, JobProgressed, JobRetryScheduled, JobSucceeded)
    for event_type in events:
        if event_type.dataschema == envelope.dataschema:
            return event_patch(envelope, event_type.read(envelope.dataschema, body), None)
    return command_patch(envelope, body, None)


def content(row: Row) -> Row:
    """What a document says, beside whose it is; a field without a value says nothing."""
    return {name: value for name, value in row.items() if name != "_id" and value is not None}


async def rows(deployment: Deployment) -> list[Row]:
    async with raw_store(deployment) as store:
        return await store["jobs"].find().to_list()


async def publish_all(deployment: Deployment, messages: list[tuple[Envelope, bytes]]) -> None:
    """One by one and in this order, onto the ledger's queue."""
    connection = await aio_pika.connect(deployment.broker.url)
    async with connection, connection.channel() as channel:
        for envelope, body in messages:
            await channel.default_exchange.publish(
                aio_pika.Message(body, headers=envelope.headers()), routing_key=names.LEDGER
            )


async def test_every_order_of_events_ends_in_the_same_document(deployment: Deployment) -> None:
    orders = list(itertools.permutations(range(6)))
    chosen = [*random.Random(7).sample(orders, 100), orders[0], orders[-1]]
    async with open_database(deployment.storage) as database:
        projection = JobProjection(database)
        lives = [life(f"job-{number}") for number in range(len(chosen))]
        for step in range(6):  # one message of each job at a time, so that nothing is coalesced before the store
            bulk = [patch_of(*messages[order[step]]) for messages, order in zip(lives, chosen, strict=True)]
            assert (await projection.fold(bulk)).unfit == []
            assert (await projection.fold(bulk)).unfit == [], "a duplicate"
    found = [content(row) for row in await rows(deployment)]
    assert len(found) == len(chosen)
    assert (found[0]["status"], found[0]["attempt"], found[0]["params"]) == ("succeeded", 2, {"payload": {"a": 1}})
    assert [row for row in found if row != found[0]] == []


async def test_a_replayed_job_ends_as_its_last_generation_in_every_order(deployment: Deployment) -> None:
    first = command(RunProbe, job_id="job", subject="job", time=NOW)
    again = first.model_copy(update={"generation": 1, "time": NOW + timedelta(minutes=1)})
    error = JobError(type="attempts-exhausted", title="Every attempt failed", detail="x", fingerprint="f")
    died = JobDied(started_at=NOW, finished_at=NOW, error=error)
    ended = succeeded()
    told = [
        command_patch(first, BODY, None),
        event_patch(first.event(died, source="w"), died, None),
        command_patch(again, b'{"payload":{"edited":true}}', None),
        event_patch(again.event(ended, source="w"), ended, None),
    ]
    orders = list(itertools.permutations(told))
    async with open_database(deployment.storage) as database:
        projection = JobProjection(database)
        for step in range(4):
            bulk = [replace(order[step], job_id=f"job-{number}") for number, order in enumerate(orders)]
            for _ in range(2):
                assert (await projection.fold(bulk)).unfit == []
    for order, row in zip(orders, sorted(await rows(deployment), key=lambda r: int(r["_id"][4:])), strict=True):
        assert (row["status"], row["generation"], row["result"]) == ("succeeded", 1, {"payload": {"a": 1}})
        assert (row.get("error"), row["dataschema"]) == (None, RunProbe.dataschema)
        if order.index(told[2]) < order.index(told[3]):
            assert row["params"] == {"payload": {"edited": True}}


async def test_shuffled_and_doubled_events_from_the_broker_end_in_the_same_document(deployment: Deployment) -> None:
    rng = random.Random(11)
    messages = [message for number in range(40) for message in life(f"job-{number}") * 2]
    rng.shuffle(messages)
    async with running("ledger") as first:
        await publish_all(deployment, messages[:300])
        assert first["ledger"].health() is not None
    async with running("ledger"):
        await publish_all(deployment, messages[300:])

        async def complete() -> list[Row]:
            known = [content(row) for row in await rows(deployment)]
            done = [row for row in known if row["status"] == "succeeded" and "dataschema" in row]
            return known if len(done) == 40 else []

        await eventually(complete)
    found = [content(row) for row in await rows(deployment)]  # after the drain: nothing may have moved it since
    assert [row for row in found if row != found[0]] == []


@pytest.mark.slow
async def test_two_ledgers_compete(deployment: Deployment, tmp_path: Path) -> None:
    async with (
        running("diagnostics"),
        gateway() as client,
        PoolProcess(tmp_path / "one", "ledger") as one,
        PoolProcess(tmp_path / "two", "ledger") as two,
    ):
        accepted = await submit(client, "system.probe", 500, lambda n: {"payload": {"n": n}})
        assert len(accepted) == 500
        await all_succeeded(client, accepted)
        folded = [await total(worker.port, "millrace_fold_size_sum") for worker in (one, two)]
    found = await rows(deployment)
    assert {row["_id"] for row in found} == set(accepted)
    assert all(row["params"] == {**row["params"], "payload": row["result"]["payload"]} for row in found)
    assert min(folded) > 0, "both took their share"


async def total(port: int, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return sum(one.value for one in samples if one.name == name)


@pytest.mark.slow
async def test_the_store_is_killed_during_load(
    servers: Servers, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE_TIMEOUT_S", "1")
    async with running("diagnostics"), gateway() as client, PoolProcess(tmp_path, "ledger") as ledger:
        before = await submit(client, "system.probe", 100, lambda n: {"payload": {"n": n}})
        await some_succeeded(client, 1)
        await servers.store.kill()
        try:
            during = await submit(client, "system.probe", 300, lambda n: {"payload": {"n": n}})
            assert len(during) == 300, "the gateway needs no store to accept"

            async def noticed() -> bool:
                return any(line["event"] == "waiting" for line in await ledger.log())

            await eventually(noticed)
            assert ledger.running
            assert (await client.get("/health/ready")).status_code == 200, "it can accept, so it stays in service"
            assert (await client.get("/health/db")).status_code == 503
            assert (await client.get("/health/liveness")).status_code == 200
        finally:
            await servers.store.start()
        await all_succeeded(client, before + during)
    found = {row["_id"]: row for row in await rows(deployment)}
    assert set(found) == set(before + during)


async def test_poison_among_good_events_is_set_aside(deployment: Deployment) -> None:
    good = [message for number in range(5) for message in life(f"job-{number}")]
    unknown = command(RunProbe, type="millrace.job.succeeded", dataschema="urn:millrace:job.succeeded:99")
    wrong_body = unknown.model_copy(update={"dataschema": JobSucceeded.dataschema})
    async with running("ledger", "dead_letters"):
        await publish_all(deployment, good[:15])
        await publish_all(deployment, [(unknown, b"{}"), (wrong_body, b'{"result": 7}'), (wrong_body, b"\x80")])
        await publish_all(deployment, good[15:])
        found = await letters(deployment, 3)

        async def complete() -> bool:
            return len([row for row in await rows(deployment) if row["status"] == "succeeded"]) == 5

        await eventually(complete)
    assert {letter["queue"] for letter in found} == {names.LEDGER}
    assert {letter["body"] for letter in found} == {b"{}", b'{"result": 7}', b"\x80"}
    assert len(await rows(deployment)) == 5


UNSTORABLE: dict[str, bytes] = {
    "too large": b'{"payload":{"text":"' + b"x" * 17 * 1024 * 1024 + b'"}}',
    "an integer beyond 64 bits": b'{"payload":{"n":99999999999999999999}}',
    "a NUL in a name": b'{"payload":{"a\\u0000b":1}}',
}


async def test_what_the_store_cannot_hold_is_set_aside_with_its_bytes(deployment: Deployment) -> None:
    """No gateway sends these; another publisher can."""
    envelopes = {name: command(RunProbe) for name in UNSTORABLE}
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        for name, body in UNSTORABLE.items():
            await publish(deployment, "", names.LEDGER, body, envelopes[name].headers())
        accepted = await submit(client, "system.probe", 20, lambda n: {"payload": {"n": n}})
        await all_succeeded(client, accepted)
        found = {letter["job_id"]: letter for letter in await letters(deployment, len(UNSTORABLE))}
    blobs = BlobStore(deployment.storage.blobs)
    for name, body in UNSTORABLE.items():
        letter = found[envelopes[name].job_id]
        assert (letter["reason"], letter["queue"]) == ("undecodable", names.LEDGER)
        assert "the store cannot take it" in letter["error_detail"]
        claim = letter.get("body_claim")
        assert (await blobs.get(claim["path"], claim["sha256"]) if claim else letter["body"]) == body
    assert {row["_id"] for row in await rows(deployment)} == set(accepted)


async def test_a_ledger_ends_with_everything_it_took_written(deployment: Deployment) -> None:
    """What lingers for its outcome is written when the process is told to stop."""
    async with gateway() as client:
        async with running("ledger"):
            accepted: list[str] = await submit(client, "system.probe", 50, lambda n: {"payload": {"n": n}})

            async def taken() -> bool:
                return all(await asyncio.gather(*(seen(client, job_id) for job_id in accepted)))

            await eventually(taken)
        found = await rows(deployment)
    assert {row["_id"]: row["status"] for row in found} == dict.fromkeys(accepted, "queued")


async def seen(client: httpx.AsyncClient, job_id: str) -> bool:
    return (await client.get(f"/v1/jobs/{job_id}")).status_code == 200
