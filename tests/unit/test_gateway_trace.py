import re

import pytest

from telemetry import trace

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_child_stays_in_the_trace_under_a_span_of_its_own() -> None:
    children = {trace.child_of(VALID) for _ in range(10)}
    assert len(children) == 10
    for child in children:
        assert re.fullmatch(rf"00-{TRACE_ID}-[0-9a-f]{{16}}-01", child)
        assert SPAN_ID not in child
        assert trace.trace_id(child) == TRACE_ID


@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_flags_are_handed_on(flags: str) -> None:
    assert trace.child_of(f"00-{TRACE_ID}-{SPAN_ID}-{flags}").endswith(f"-{flags}")


def test_a_later_version_is_read_as_this_one() -> None:
    child = trace.child_of(f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like")
    assert child.startswith(f"00-{TRACE_ID}-")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        VALID.upper(),
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-0",
        f"{VALID}\n",
        f"00-{TRACE_ID}-{SPAN_ID}-01-surplus",
    ],
)
def test_anything_else_begins_a_new_trace(text: str | None) -> None:
    begun = trace.child_of(text)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", begun)
    assert TRACE_ID not in begun
    assert trace.trace_id(text) is None
