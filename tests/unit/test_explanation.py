"""What `why` says, decided from facts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.explanation import COUNTED_AHEAD, Facts, explain
from messaging import names
from messaging.inspection import QueueCount
from schemas.lifecycle import JobState
from schemas.resources import JobFailure, Standing
from storage.census import StoredJob, StoredLease
from storage.documents import LeaseState
from storage.workers import WorkerReport

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
KIND = "model.train"
JOB = StoredJob(id="j", kind=KIND, status=JobState.QUEUED, principal="o", created_at=NOW, updated_at=NOW)
EMPTY = {names.work_queue(KIND): QueueCount(0, 0), names.LEDGER: QueueCount(0, 1)}
FACTS = Facts("j", NOW, JOB, ahead=0, queues=EMPTY, roster=[])


def worker(name: str, age_s: float = 1, **status: Any) -> WorkerReport:
    return WorkerReport(
        name, "h", "1", ["training"], NOW, NOW - timedelta(seconds=age_s), {"training": {KIND: status}}
    )


def lease(state: LeaseState = LeaseState.RUNNING, expires_in_s: float | None = 20, age_s: float = 7) -> StoredLease:
    expires_at = None if expires_in_s is None else NOW + timedelta(seconds=expires_in_s)
    heard = {"claimed_at": NOW, "heartbeat_at": NOW - timedelta(seconds=age_s), "expires_at": expires_at}
    position = {"generation": 0, "attempt": 1, "epoch": 3, "lapses": 1}
    return StoredLease.model_validate(
        {"id": "j", "kind": KIND, "state": state, "worker": "mill-7", "headers": {}, "body": b"", **heard, **position}
    )


def job(**changes: Any) -> StoredJob:
    return JOB.model_copy(update=changes)


RUNS = job(status=JobState.RUNNING, worker="a")
RETRY = job(attempt=3, updated_at=NOW - timedelta(seconds=3), retry_at=NOW + timedelta(seconds=5))
PAUSED = worker("a", state="paused", reason="no device", probe_at=(NOW + timedelta(seconds=9)).isoformat())

CASES: dict[str, tuple[Facts, Standing, str]] = {
    "ended": (replace(FACTS, job=job(status=JobState.FAILED)), Standing.FINISHED, "It has ended: failed."),
    "no worker": (FACTS, Standing.NO_WORKER, "no worker takes from it"),
    "next": (replace(FACTS, roster=[worker("a", state="taking")]), Standing.WAITING_IN_QUEUE, "next in line"),
    "behind": (replace(FACTS, roster=[worker("a")], ahead=7), Standing.WAITING_IN_QUEUE, "behind 7 older jobs"),
    "far behind": (
        replace(FACTS, roster=[worker("a")], ahead=COUNTED_AHEAD),
        Standing.WAITING_IN_QUEUE,
        "behind 1000 or more older jobs",
    ),
    "store away": (
        replace(FACTS, roster=None, ahead=None, queues={names.work_queue(KIND): QueueCount(3, 1)}),
        Standing.WAITING_IN_QUEUE,
        f"It waits in {names.work_queue(KIND)}.",
    ),
    "broker away": (replace(FACTS, queues=None), Standing.UNKNOWN, "is away"),
    "paused": (replace(FACTS, roster=[PAUSED]), Standing.POOL_PAUSED, "no device"),
    "one of two paused": (replace(FACTS, roster=[PAUSED, worker("b")]), Standing.WAITING_IN_QUEUE, "next in line"),
    "paused and gone": (
        replace(FACTS, roster=[replace(PAUSED, heartbeat_at=NOW - timedelta(hours=1))]),
        Standing.NO_WORKER,
        "no worker",
    ),
    "retry": (replace(FACTS, job=RETRY), Standing.WAITING_FOR_RETRY, "attempt 3 waits in the tier of 8 s"),
    "retry due": (replace(FACTS, job=RETRY, now=NOW + timedelta(seconds=6)), Standing.NO_WORKER, "no worker"),
    "runs": (replace(FACTS, job=RUNS, roster=[worker("a")]), Standing.RUNNING, "a runs it."),
    "runs, roster unknown": (
        replace(FACTS, job=RUNS, roster=None, queues={names.work_queue(KIND): QueueCount(0, 1)}),
        Standing.RUNNING,
        "a runs it.",
    ),
    "worker gone": (replace(FACTS, job=RUNS, roster=[worker("a", 60)]), Standing.WORKER_GONE, "not heard any more"),
    "leased": (replace(FACTS, lease=lease()), Standing.RUNNING_UNDER_LEASE, "mill-7 runs it and was heard 7 s ago"),
    "settling": (replace(FACTS, lease=lease(LeaseState.SETTLING)), Standing.RUNNING_UNDER_LEASE, "publishing how"),
    "expired": (replace(FACTS, lease=lease(expires_in_s=-1)), Standing.LEASE_EXPIRED, "its lease has expired"),
    "lapsed": (replace(FACTS, lease=lease(LeaseState.LAPSED)), Standing.LEASE_EXPIRED, "its lease has expired"),
    "requeued": (replace(FACTS, lease=lease(LeaseState.QUEUED, None)), Standing.NO_WORKER, "no worker"),
    "lost": (
        replace(FACTS, job=job(updated_at=NOW - timedelta(hours=1))),
        Standing.UNHELD,
        "no queue and no delay tier holds it",
    ),
    "lost while running": (
        replace(FACTS, job=RUNS.model_copy(update={"updated_at": NOW - timedelta(hours=1)})),
        Standing.UNHELD,
        "no worker has it",
    ),
    "unseen": (
        replace(FACTS, job=None, queues={names.LEDGER: QueueCount(12, 1)}),
        Standing.LEDGER_BEHIND,
        "12 messages",
    ),
    "unseen, broker away": (replace(FACTS, job=None, queues=None), Standing.LEDGER_BEHIND, "is away"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_standing_and_its_sentence(name: str) -> None:
    facts, state, words = CASES[name]
    found = explain(facts)
    assert (found.state, found.status) == (state, facts.job.status if facts.job else None)
    assert words in found.summary
    assert found.next


def test_details_stand_beside_the_sentence() -> None:
    failure = JobFailure(type="/problems/attempt-failed", title="The attempt failed", detail="why")
    found = explain(replace(FACTS, job=RETRY, failure=failure, lease=lease(), roster=[PAUSED], missing=["the moon"]))
    assert found.lease is not None
    assert (found.lease.heartbeat_age_s, found.lease.expires_in_s, found.lease.epoch) == (7.0, 20.0, 3)
    assert found.retry is not None
    assert (found.retry.attempt, found.retry.tier_s, found.retry.error) == (3, 8, failure)
    assert [(view.state, view.reason) for view in found.workers] == [("paused", "no device")]
    assert found.missing == ["the moon"]


def test_what_the_ledger_has_not_folded_is_said_to_be_missing() -> None:
    found = explain(replace(FACTS, queues=EMPTY | {names.LEDGER: QueueCount(40, 1)}))
    assert found.missing == ["the ledger has 40 messages to fold: what they tell is not in here"]
