"""The checker sees every wrong: a made-up history that kept the promise, and one change to it after the other."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.envelope import Envelope
from schemas.lifecycle import (
    JobError,
    JobRetryScheduled,
    JobStarted,
    JobState,
    JobSucceeded,
    LifecycleEvent,
    Position,
)
from tests.faults.checker import Wrong, check
from tests.faults.history import TOLD, Accepted, Ending, History, Row, Seen, Wanted

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ERROR = JobError(type="attempt-failed", title="The attempt failed")
STARTED = JobStarted(started_at=NOW, worker="w")
SUCCEEDED = JobSucceeded(started_at=NOW, finished_at=NOW, result={"payload": {"n": 1}})
RETRY = JobRetryScheduled(error=ERROR, not_before=NOW)


def told(job_id: str, event: LifecycleEvent, *, attempt: int = 1, epoch: int = 0, sequence: int = 0) -> Seen:
    envelope = Envelope(
        id="e",
        source="w",
        type="millrace.system.probe",
        time=NOW,
        dataschema="urn:millrace:system.probe:1",
        job_id=job_id,
        kind="system.probe",
        principal="operator",
        epoch=epoch,
    )
    return Seen(envelope.event(event, source="w", attempt=attempt, sequence=sequence))


def job(job_id: str, status: JobState = JobState.SUCCEEDED, **changes: object) -> Row:
    position = Position.of(status, generation=0, attempt=1)
    row: Row = {"_id": job_id, "status": status.value, "generation": 0, "attempt": 1, "order": position.order}
    return row | {"finished_at": NOW, "result": {"payload": {"n": 1}, "attempt": 1}, "error": None} | changes


def kept() -> History:
    """A plain job, a long one that changed hands, one that was retried, and one that died."""
    done = {name: job(name) for name in ("plain", "long", "retried")}
    done["retried"] |= {"attempt": 2, "result": {"payload": {"n": 1}, "attempt": 2}}
    done["dead"] = job("dead", JobState.DEAD, result=None)
    ok = Wanted("system.probe", {}, "succeeded", {"payload": {"n": 1}})
    wanted = {"plain": ok, "long": replace(ok, kind=TOLD), "retried": ok, "dead": Wanted("system.probe", {}, "dead")}
    return History(
        accepted=[Accepted(job_id, one) for job_id, one in wanted.items()],
        answers=Counter({202: 4, 503: 2}),
        messages=[
            told("plain", SUCCEEDED),
            told("long", STARTED, epoch=1),
            told("long", STARTED, epoch=2, sequence=1),
            told("long", STARTED, epoch=1),  # of a worker that woke up: too late to move anything
            told("long", SUCCEEDED, epoch=2),
            told("retried", RETRY, attempt=2),
            told("retried", SUCCEEDED, attempt=2),
        ],
        jobs=done,
        endings={job_id: [Ending.of(row)] for job_id, row in done.items()},
        listed=Counter(done.keys()),
        letters=[{"job_id": "dead", "generation": 0, "queue": "mr.work.system.probe"}],
        leases=[{"_id": "long", "epoch": 2, "state": "done"}],
        epochs={"long": [1, 1, 2]},
        told={"long"},
        left={"mr.work.system.probe": 0},
    )


def test_a_history_that_kept_the_promise_has_no_violations() -> None:
    assert check(kept()) == []


def forget(history: History) -> None:
    del history.jobs["plain"], history.endings["plain"]


def leave_running(history: History) -> None:
    history.jobs["plain"]["status"] = "running"
    del history.endings["plain"]


def hide(history: History) -> None:
    del history.listed["plain"]


def leave_refused(history: History) -> None:
    history.jobs["refused"] = job("refused", JobState.QUEUED)


def change_result_meanwhile(history: History) -> None:
    [ending] = history.endings["plain"]
    history.endings["plain"] = [ending._replace(result={"payload": {"n": 2}}), ending]


def change_result_at_the_end(history: History) -> None:
    history.jobs["plain"]["finished_at"] = NOW.replace(hour=10)


def change_back_and_forth(history: History) -> None:
    [ending] = history.endings["plain"]
    history.endings["plain"] = [ending, ending._replace(status="failed"), ending]


def take_back_to_running(history: History) -> None:
    history.jobs["plain"]["status"] = "running"


def list_twice(history: History) -> None:
    history.listed["plain"] = 2


def answer_something_else(history: History) -> None:
    [ending] = history.endings["plain"]
    history.jobs["plain"]["result"] = {"payload": {"n": 2}}
    history.endings["plain"] = [ending._replace(result={"payload": {"n": 2}})]


def fail_what_should_succeed(history: History) -> None:
    history.jobs["plain"]["status"] = "failed"
    history.endings["plain"] = [Ending.of(history.jobs["plain"])]


def answer_with_a_fault_of_ours(history: History) -> None:
    history.answers[500] = 1


def apply_an_old_epoch(history: History) -> None:
    history.messages[3] = told("long", STARTED, epoch=1, sequence=2)


def finish_under_an_old_epoch(history: History) -> None:
    history.messages[4] = told("long", SUCCEEDED, epoch=1)


def finish_without_the_lease(history: History) -> None:
    history.leases[0]["epoch"] = 3


def lower_the_lease(history: History) -> None:
    history.epochs["long"] = [2, 1, 2]


def retry_without_a_word(history: History) -> None:
    del history.messages[5]


def lose_every_event_of_a_retry(history: History) -> None:
    del history.messages[5:]


def die_without_a_letter(history: History) -> None:
    history.letters.clear()


def die_with_two_letters(history: History) -> None:
    history.letters *= 2


def succeed_with_a_letter(history: History) -> None:
    history.letters.append({"job_id": "plain", "generation": 0, "queue": "mr.work.system.probe"})


def swallow_poison(history: History) -> None:
    history.poison = 1


def tell_nobody(history: History) -> None:
    history.told.clear()


def leave_a_message(history: History) -> None:
    history.left["mr.work.system.probe"] = 1


def leave_a_lease(history: History) -> None:
    history.leases[0]["state"] = "running"


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (forget, Wrong.LOST),
        (leave_running, Wrong.LOST),
        (hide, Wrong.LOST),
        (leave_refused, Wrong.STUCK),
        (change_result_meanwhile, Wrong.DUPLICATED),
        (change_result_at_the_end, Wrong.DUPLICATED),
        (change_back_and_forth, Wrong.DUPLICATED),
        (take_back_to_running, Wrong.DUPLICATED),
        (list_twice, Wrong.DUPLICATED),
        (answer_something_else, Wrong.RESULT),
        (fail_what_should_succeed, Wrong.RESULT),
        (answer_with_a_fault_of_ours, Wrong.ANSWER),
        (apply_an_old_epoch, Wrong.EPOCH),
        (finish_under_an_old_epoch, Wrong.EPOCH),
        (finish_without_the_lease, Wrong.EPOCH),
        (lower_the_lease, Wrong.EPOCH),
        (retry_without_a_word, Wrong.ATTEMPT),
        (lose_every_event_of_a_retry, Wrong.ATTEMPT),
        (die_without_a_letter, Wrong.LETTER),
        (die_with_two_letters, Wrong.LETTER),
        (succeed_with_a_letter, Wrong.LETTER),
        (swallow_poison, Wrong.LETTER),
        (tell_nobody, Wrong.UNTOLD),
        (leave_a_message, Wrong.LEFTOVER),
        (leave_a_lease, Wrong.LEFTOVER),
    ],
)
def test_each_wrong_is_seen(spoil: Callable[[History], None], wrong: Wrong) -> None:
    history = kept()
    spoil(history)
    assert wrong in {violation.wrong for violation in check(history)}


def test_a_replay_may_end_a_job_again() -> None:
    history = kept()
    [ending] = history.endings["dead"]
    history.jobs["dead"] = job("dead", generation=1, order=ending.order * 2)
    history.endings["dead"].append(Ending.of(history.jobs["dead"]))
    history.accepted = [
        replace(one, wanted=replace(one.wanted, status="succeeded")) if one.job_id == "dead" else one
        for one in history.accepted
    ]
    assert check(history) == []


def test_a_generation_has_no_second_letter() -> None:
    history = kept()
    history.jobs["dead"]["generation"] = 1
    history.endings["dead"].append(Ending.of(history.jobs["dead"]))
    history.letters.append(history.letters[0] | {"generation": 1})
    assert check(history) == []
    history.letters.append(history.letters[0])
    assert {violation.wrong for violation in check(history)} == {Wrong.LETTER}
