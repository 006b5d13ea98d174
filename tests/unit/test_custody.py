"""Who holds a job, decided from what the parts say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging import names
from messaging.inspection import QueueCount
from producers.custody import MARGIN_S, Holders, holders, unheld
from schemas.lifecycle import JobState
from storage.census import StoredJob, StoredLease
from storage.documents import LeaseState
from storage.workers import GONE_AFTER_S, WorkerReport

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
LONG_AGO = NOW - timedelta(seconds=MARGIN_S + 1)
JUST_NOW = NOW - timedelta(seconds=MARGIN_S - 1)
QUEUED = StoredJob(
    id="j", kind="text.embed", status=JobState.QUEUED, principal="o", created_at=LONG_AGO, updated_at=LONG_AGO
)
RUNNING = QUEUED.model_copy(update={"status": JobState.RUNNING, "worker": "w"})
NOTHING = Holders(queue=QueueCount(0, 0), dying=0, in_tiers=0, postponed=False, running=0, in_flight=0, reporting=0)


def lease(state: LeaseState, heartbeat_at: datetime = LONG_AGO) -> StoredLease:
    times = {"claimed_at": LONG_AGO, "heartbeat_at": heartbeat_at}
    position = {"generation": 0, "attempt": 1, "epoch": 1}
    return StoredLease.model_validate(
        {"id": "j", "kind": "k", "state": state, "worker": "w", "headers": {}, "body": b"", **times, **position}
    )


def test_what_is_quiet_and_in_no_place_is_held_by_nothing() -> None:
    assert unheld(QUEUED, None, NOTHING, NOW) == "it is queued, and no queue and no delay tier holds it"
    assert unheld(RUNNING, None, replace(NOTHING, running=1), NOW) == "it is running, and no worker has it"
    assert unheld(QUEUED, None, replace(NOTHING, queue=None), NOW) == "its work queue does not exist"


@pytest.mark.parametrize(
    "changes",
    [
        {"queue": QueueCount(1, 0)},
        {"dying": 1},
        {"in_tiers": 1, "postponed": True},
        {"in_flight": 1, "reporting": 1},
    ],
)
def test_a_queued_job_may_be_in_a_queue_or_a_tier_or_with_a_worker_whose_announcement_is_lost(
    changes: dict[str, Any],
) -> None:
    assert unheld(QUEUED, None, replace(NOTHING, **changes), NOW) is None


def test_what_a_worker_has_is_explained_by_jobs_that_are_known_to_run() -> None:
    busy = replace(NOTHING, queue=QueueCount(0, 1), in_flight=3, reporting=1, running=3)
    assert unheld(QUEUED, None, busy, NOW)


def test_a_running_job_is_lost_only_if_every_worker_says_that_it_has_none() -> None:
    idle = replace(NOTHING, queue=QueueCount(0, 2), reporting=2, running=1)
    assert unheld(RUNNING, None, idle, NOW)
    assert unheld(RUNNING, None, replace(idle, reporting=1), NOW) is None, "one of the two consumers is not heard"
    assert unheld(RUNNING, None, replace(idle, in_flight=1), NOW) is None


@pytest.mark.parametrize("state", [LeaseState.RUNNING, LeaseState.SETTLING, LeaseState.LAPSED])
def test_a_lease_holds_its_job_however_old_it_is(state: LeaseState) -> None:
    assert unheld(QUEUED, lease(state), NOTHING, NOW) is None


def test_a_lease_that_gave_its_command_back_to_the_broker_holds_nothing() -> None:
    assert unheld(QUEUED, lease(LeaseState.QUEUED), NOTHING, NOW)
    assert unheld(QUEUED, lease(LeaseState.QUEUED, JUST_NOW), NOTHING, NOW) is None


@pytest.mark.parametrize("changes", [{"updated_at": JUST_NOW}, {"retry_at": NOW + timedelta(seconds=5)}])
def test_a_job_that_was_heard_of_a_moment_ago_is_given_time(changes: dict[str, Any]) -> None:
    assert unheld(QUEUED.model_copy(update=changes), None, NOTHING, NOW) is None


def test_holders_are_summed_over_the_workers_that_are_alive() -> None:
    def report(worker: str, in_flight: int, age_s: float, kind: str = "text.embed") -> WorkerReport:
        status = {"inference": {kind: {"in_flight": in_flight}}, "ledger": {"unsettled": 9}}
        return WorkerReport(worker, "h", "1", ["inference"], NOW, NOW - timedelta(seconds=age_s), status)

    roster = [report("a", 2, 1), report("b", 3, 4), report("c", 5, GONE_AFTER_S + 1), report("d", 7, 1, "other.kind")]
    queues = {names.work_queue("text.embed"): QueueCount(4, 2), names.retry_tier(8): QueueCount(3, 0)}
    queues |= {names.DEAD: QueueCount(1, 1), names.LEDGER: QueueCount(9, 1)}
    found = holders("text.embed", queues, 6, roster, NOW)
    queue = QueueCount(4, 2)
    assert found == replace(NOTHING, queue=queue, dying=1, in_tiers=3, running=6, in_flight=5, reporting=2)


@pytest.mark.parametrize(("until_s", "postponed"), [(30, True), (-MARGIN_S - 1, False)])
def test_a_pool_says_until_when_jobs_may_wait_that_it_postponed_even_after_its_end(
    until_s: float, postponed: bool
) -> None:
    said = {"postponed_until": (NOW + timedelta(seconds=until_s)).isoformat()}
    status = {"inference": {"text.embed": said}}
    gone = WorkerReport("a", "h", "1", ["inference"], NOW, NOW - timedelta(seconds=GONE_AFTER_S + 1), status)
    assert holders("text.embed", {}, 0, [gone], NOW).postponed is postponed
    assert not holders("other.kind", {}, 0, [gone], NOW).postponed


def test_other_peoples_retries_do_not_hold_a_job_that_waits_for_none() -> None:
    busy = replace(NOTHING, in_tiers=9)
    assert unheld(QUEUED, None, busy, NOW)
    waited = QUEUED.model_copy(update={"retry_at": LONG_AGO, "attempt": 2})
    assert unheld(waited, None, busy, NOW) is None
    assert unheld(waited, None, busy, NOW + timedelta(seconds=240))
