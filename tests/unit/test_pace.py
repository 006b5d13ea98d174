from datetime import UTC, datetime, timedelta

import pytest

from consumers.ledger.pace import Pace

START = datetime(2026, 11, 21, tzinfo=UTC)


def test_the_pace_follows_the_jobs_of_a_kind() -> None:
    pace = Pace()
    for number, taken_s in enumerate([10.0] + [2.0] * 40):
        pace.submitted(f"j{number}", START)
        pace.ended(f"j{number}", "text.embed", START + timedelta(seconds=taken_s))
    assert pace.seconds["text.embed"] == pytest.approx(2.0, abs=0.2)


def test_an_end_without_a_beginning_is_no_sample() -> None:
    pace = Pace()
    pace.ended("unknown", "text.embed", START)
    assert pace.seconds == {}
