import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import cursors
from gateway.problems import ProblemError

SECRET = b"secret"
AT = datetime(2026, 11, 21, 9, 30, 0, 125_000, tzinfo=UTC)
JOB = "0d9c1f2e3b4a5968778695a4b3c2d1e0"


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_leads_back_to_where_it_was_made(at: datetime, job_id: object) -> None:
    made = cursors.encode(SECRET, "kind=a", at, str(job_id))
    assert cursors.decode(SECRET, "kind=a", made) == (at, str(job_id))


def test_the_same_moment_elsewhere_is_kept() -> None:
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert cursors.decode(SECRET, "", cursors.encode(SECRET, "", there, JOB)) == (AT, JOB)


@pytest.mark.parametrize(("secret", "list_name"), [(b"other", "kind=a"), (SECRET, "kind=b"), (SECRET, "")])
def test_another_list_or_another_key_refuses_it(secret: bytes, list_name: str) -> None:
    made = cursors.encode(SECRET, "kind=a", AT, JOB)
    with pytest.raises(ProblemError) as refused:
        cursors.decode(secret, list_name, made)
    assert refused.value.type.slug == "invalid-query"
    assert [field.pointer for field in refused.value.errors or []] == ["cursor"]


def test_no_bit_can_be_changed() -> None:
    raw = bytearray(base64.urlsafe_b64decode(cursors.encode(SECRET, "", AT, JOB)))
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises(ProblemError):
            cursors.decode(SECRET, "", base64.urlsafe_b64encode(changed).decode())


@given(st.text())
def test_whatever_else_a_client_sends_is_refused(text: str) -> None:
    with pytest.raises(ProblemError):
        cursors.decode(SECRET, "", text)


def test_list_name_and_content_cannot_be_confused() -> None:
    made = cursors.encode(SECRET, "a", AT, JOB)
    with pytest.raises(ProblemError):
        cursors.decode(SECRET, "a\0", made)
