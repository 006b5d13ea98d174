"""W3C Trace Context: one `traceparent` from the client's request to the worker's last log line.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
import secrets

# Version ff is none, and version 00 ends with its flags; later ones may go on.
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


def child_of(traceparent: str | None) -> str:
    """A traceparent with a new span id: in the caller's trace when `traceparent` is valid, else in a new trace."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    new = secrets.token_hex(24)
    trace_id, flags = (match[1], match[3]) if match else (new[16:], "01")
    return f"00-{trace_id}-{new[:16]}-{flags}"


def trace_id(traceparent: str | None) -> str | None:
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match else None
