"""Request headers that say how a job shall be treated."""

import re
from datetime import UTC, datetime, timedelta

from starlette.datastructures import Headers

from gateway.problems import ProblemError
from schemas.envelope import CacheControl
from storage.event_log import Place

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d+)\"?(?=$|[,;\s])")
_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_LONGEST_S = 10 * 365 * 86_400
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CACHE_CONTROLS: tuple[CacheControl, ...] = ("no-store", "no-cache")  # the stricter one first
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def wait_s(headers: Headers, longest_s: float) -> float:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most `longest_s`; 0 without it. Other preferences are ignored."""
    match = _WAIT.search(headers.get("prefer", ""))
    return min(float(match[1]), longest_s) if match else 0.0


def deadline(headers: Headers) -> datetime | None:
    """`Cancel-After: 5m`: the job must have started by then. Raises ProblemError."""
    text = headers.get("cancel-after")
    if text is None:
        return None
    match = _DURATION.fullmatch(text.strip())
    seconds = int(match[1]) * _UNIT_S[match[2]] if match and len(match[1]) <= 7 else _LONGEST_S + 1
    if seconds > _LONGEST_S:
        raise ProblemError("invalid-header", f"Cancel-After: {text!r} is no duration; write 30s, 5m, 2h or 1d")
    return datetime.now(UTC) + timedelta(seconds=seconds)


def cache_control(headers: Headers) -> CacheControl | None:
    """`Cache-Control: no-cache` or `no-store` (RFC 9111); other directives are ignored."""
    asked = {directive.strip().lower() for directive in headers.get("cache-control", "").split(",")}
    return next((directive for directive in _CACHE_CONTROLS if directive in asked), None)


def idempotency_key(headers: Headers) -> str | None:
    """Raises ProblemError."""
    key = headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise ProblemError("invalid-header", "Idempotency-Key: 1 to 255 visible ASCII characters, such as a UUID")
    return key


def known_order(headers: Headers) -> int:
    """`Last-Event-ID`: the order that the client has seen; below every order without it. Raises ProblemError."""
    text = headers.get("last-event-id", "").strip()
    if not text:
        return -1
    if not text.isdecimal() or len(text) > 16:
        raise ProblemError("invalid-header", f"Last-Event-ID: {text!r} is not an id of this stream")
    return int(text)


def known_place(headers: Headers) -> Place | None:
    """`Last-Event-ID`: the place in the log of events that the client has seen. Raises ProblemError."""
    text = headers.get("last-event-id", "").strip()
    try:
        return Place.parse(text) if text else None
    except ValueError:
        raise ProblemError("invalid-header", f"Last-Event-ID: {text!r} is not an id of this stream") from None
