import random
from datetime import UTC, datetime, timedelta

import pytest

from consumers.runtime.ceiling import Ceiling, Taking
from consumers.runtime.outcome import Attempt, Bury, Finish, Postpone, Retry, after_failure, judge
from consumers.runtime.verdicts import HaltConsumer, NotNow, Reject, RetryLater
from messaging.dead_letter import Reason
from messaging.names import RETRY_TIERS_S
from messaging.retry import next_delay_s
from schemas.jobs.system_probe import SYSTEM_PROBE, RunProbe
from schemas.lifecycle import JobAborted, JobFailed
from tests.support.wire import command

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class _NeverJitter(random.Random):
    def random(self) -> float:
        return 0.99


class _AlwaysJitter(random.Random):
    def random(self) -> float:
        return 0.0


def test_delays_double_up_to_the_longest_tier() -> None:
    delays = [next_delay_s(attempt, 99, None, _NeverJitter()) for attempt in range(1, 10)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_jitter_moves_by_one_tier_and_never_off_the_end() -> None:
    assert next_delay_s(1, 9, None, _AlwaysJitter()) == 2
    assert next_delay_s(99, 100, None, _AlwaysJitter()) == RETRY_TIERS_S[-1]


def test_one_retry_in_four_is_moved() -> None:
    rng = random.Random(7)
    moved = sum(next_delay_s(1, 9, None, rng) == 2 for _ in range(4_000))
    assert 900 < moved < 1_100


@pytest.mark.parametrize(("asked_s", "expected"), [(0, 1), (3, 4), (10, 16), (9_999, 64)])
def test_an_asked_delay_takes_the_next_longer_tier(asked_s: float, expected: int) -> None:
    assert next_delay_s(1, 9, asked_s, _NeverJitter()) == expected


def test_a_kind_may_wait_by_a_list_of_its_own_and_longer_than_any_tier() -> None:
    delays = [next_delay_s(n, 99, None, _AlwaysJitter(), (1, 30, 3_600)) for n in range(1, 5)]
    assert delays == [2, 64, 3_600, 3_600]
    assert next_delay_s(3, 99, None, _NeverJitter(), (1, 30, 3_600)) == pytest.approx(4_500, abs=10)
    assert next_delay_s(1, 99, 600, _AlwaysJitter(), (1, 30, 3_600)) == 600
    assert next_delay_s(9, 9, None, _NeverJitter(), (1, 30, 3_600)) is None


def test_the_last_attempt_has_no_next() -> None:
    assert next_delay_s(5, 5, None, _NeverJitter()) is None


def _attempt(number: int = 1, deadline: datetime | None = None) -> Attempt:
    envelope = command(RunProbe, attempt=number, deadline=deadline)
    return Attempt(envelope, SYSTEM_PROBE, started_at=NOW, queue="mr.work.x", rng=_NeverJitter())


def _after(error: Exception, attempt: int = 1) -> Finish | Retry | Bury:
    return after_failure(error, _attempt(attempt))


def test_reject_fails_the_job_whatever_the_attempt() -> None:
    decision = _after(Reject("/model: choose another", type="model-not-allowed"), attempt=5)
    assert isinstance(decision, Finish)
    assert isinstance(decision.event, JobFailed)
    assert (decision.event.error.type, decision.event.error.detail) == ("model-not-allowed", "/model: choose another")


def test_retry_later_may_ask_for_its_delay() -> None:
    decision = _after(RetryLater("hub is away", delay_s=30))
    assert isinstance(decision, Retry)
    assert decision.delay_s == 32


def test_the_unexpected_is_retried_and_then_buried_with_evidence() -> None:
    def fail() -> None:
        raise ZeroDivisionError("by zero")

    try:
        fail()
    except ZeroDivisionError as caught:
        first, last = _after(caught), _after(caught, attempt=5)
    assert isinstance(first, Retry)
    assert isinstance(last, Bury)
    assert first.event.error.fingerprint == last.forensics.fingerprint
    assert (last.forensics.reason, last.forensics.error_type) == (Reason.EXHAUSTED, "ZeroDivisionError")
    assert "in fail" in last.forensics.traceback


def test_a_retry_that_could_only_start_after_the_deadline_ends_the_job() -> None:
    soon, later = datetime.now(UTC) + timedelta(milliseconds=500), datetime.now(UTC) + timedelta(minutes=1)
    missed = after_failure(OSError("disk"), _attempt(deadline=soon))
    assert isinstance(missed, Finish)
    assert isinstance(missed.event, JobAborted)
    assert "attempt 1 failed: OSError: disk" in missed.event.error.detail
    assert isinstance(after_failure(OSError("disk"), _attempt(deadline=later)), Retry)


def test_the_ceiling_keeps_jobs_out_of_the_dead_letters() -> None:
    ceiling = Ceiling(most_dead_letters=2)
    decisions = [judge(OSError("disk"), _attempt(5), ceiling) for _ in range(4)]
    assert [type(decision) for decision in decisions] == [Bury, Bury, Postpone, Postpone]
    assert (ceiling.taking, ceiling.health()["state"]) == (Taking.NOTHING, "paused")
    assert "OSError: disk" in ceiling.reason


def test_one_success_in_between_lifts_the_ceiling() -> None:
    ceiling = Ceiling(most_dead_letters=2)
    for _ in range(5):
        assert isinstance(judge(OSError("disk"), _attempt(5), ceiling), Bury)
        ceiling.ended()
    assert ceiling.taking is Taking.ALL


def test_a_probe_that_fails_counts_as_no_attempt_and_waits_twice_as_long() -> None:
    now = 0.0
    ceiling = Ceiling(most_dead_letters=1, clock=lambda: now)
    ceiling.halt("no device")
    waits = []
    for _ in range(6):
        waits.append(ceiling.until_probe_s)
        now += ceiling.until_probe_s
        ceiling.probe()
        assert isinstance(judge(OSError("disk"), _attempt(1), ceiling), Postpone)
    assert waits == [5, 10, 20, 40, 60, 60]
    ceiling.probe()
    assert isinstance(judge(Reject("/model: choose another"), _attempt(1), ceiling), Finish)
    assert ceiling.taking is Taking.ALL, "a handler that rejects works"


def test_what_there_is_no_room_for_comes_again_as_the_same_attempt() -> None:
    ceiling = Ceiling(most_dead_letters=0)
    assert judge(NotNow("others wait", delay_s=3.5), _attempt(5), ceiling) == Postpone(4)
    assert ceiling.taking is Taking.ALL


def test_a_handler_halts_its_pool_and_the_job_waits() -> None:
    ceiling = Ceiling(most_dead_letters=9)
    assert judge(HaltConsumer("the device is gone"), _attempt(5), ceiling) == Postpone(8)
    assert (ceiling.taking, ceiling.reason) == (Taking.NOTHING, "the device is gone")
