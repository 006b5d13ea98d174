from datetime import UTC, datetime, timedelta

import pytest
from starlette.datastructures import Headers

from gateway import preferences
from gateway.problems import ProblemError


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5),
        ("WAIT=5", 0),
        ('wait="5"', 5),
        ("respond-async, wait=5", 5),
        ("wait=5; foo=bar, other", 5),
        ("wait = 5", 5),
        ("wait=100", 60),
        ("wait=" + "9" * 400, 60),
        ("wait=0", 0),
        ("wait=-5", 0),
        ("wait=1.5", 0),
        ("wait=soon", 0),
        ("nowait=5", 0),
        ("", 0),
    ],
)
def test_the_wait_preference(prefer: str, seconds: float) -> None:
    assert preferences.wait_s(Headers({"Prefer": prefer}), 60) == seconds


def test_no_preference_is_no_wait() -> None:
    assert preferences.wait_s(Headers(), 60) == 0


@pytest.mark.parametrize(
    ("text", "after"),
    [("30s", {"seconds": 30}), ("5m", {"minutes": 5}), (" 2h ", {"hours": 2}), ("1d", {"days": 1}), ("0s", {})],
)
def test_a_deadline_is_that_long_from_now(text: str, after: dict[str, float]) -> None:
    before = datetime.now(UTC)
    found = preferences.deadline(Headers({"Cancel-After": text}))
    assert found is not None
    assert before <= found - timedelta(**after) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "1.5h", "5w", "5M", "12345678s", "9999999d", "4000d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ProblemError, match="Cancel-After") as refused:
        preferences.deadline(Headers({"Cancel-After": text}))
    assert refused.value.type.status == 400


@pytest.mark.parametrize("key", ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "!~", "k" * 255])
def test_visible_ascii_is_a_key(key: str) -> None:
    assert preferences.idempotency_key(Headers({"Idempotency-Key": key})) == key


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "\u00fc", "tab\there"])
def test_anything_else_is_not(key: str) -> None:
    with pytest.raises(ProblemError, match="Idempotency-Key"):
        preferences.idempotency_key(Headers({"Idempotency-Key": key}))


@pytest.mark.parametrize(("text", "order"), [("0", 0), (" 17 ", 17), ("1125899906842623", 2**50 - 1), ("", -1)])
def test_the_last_event_seen(text: str, order: int) -> None:
    assert preferences.known_order(Headers({"Last-Event-ID": text})) == order
    assert preferences.known_order(Headers()) == -1


@pytest.mark.parametrize("text", ["-1", "1.0", "0x1", "9" * 17, "abc", "\u00b2"])
def test_what_is_no_event_id_is_refused(text: str) -> None:
    with pytest.raises(ProblemError, match="Last-Event-ID"):
        preferences.known_order(Headers({"Last-Event-ID": text}))
