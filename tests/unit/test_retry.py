import random
from datetime import UTC, datetime

import pytest

from consumers.runtime.outcome import Bury, Finish, Retry, after_failure
from consumers.runtime.verdicts import Reject, RetryLater
from messaging.dead_letter import Reason
from messaging.names import RETRY_TIERS_S
from messaging.retry import next_delay_s
from schemas.lifecycle import JobFailed

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


def test_the_last_attempt_has_no_next() -> None:
    assert next_delay_s(5, 5, None, _NeverJitter()) is None


def _after(error: Exception, attempt: int = 1) -> Finish | Retry | Bury:
    return after_failure(
        error, attempt=attempt, max_attempts=5, started_at=NOW, queue="mr.work.x", rng=_NeverJitter()
    )


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
