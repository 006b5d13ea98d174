"""The failed attempts of a command, carried in a header of its own from retry to retry and into its dead letter."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic_core import from_json, to_json

HEADER = "mr-attempts"
_MOST = 16  # the newest are kept: all headers of a message share one frame
_LONGEST_DETAIL = 300


@dataclass(frozen=True)
class FailedAttempt:
    attempt: int
    failed_at: str
    """RFC 3339."""
    worker: str
    error_type: str
    error_detail: str
    fingerprint: str


def with_attempt(headers: dict[str, Any], failed: FailedAttempt) -> dict[str, Any]:
    """`headers` with one more failed attempt."""
    entry = asdict(failed) | {"error_detail": failed.error_detail[:_LONGEST_DETAIL]}
    return headers | {HEADER: to_json([*past_attempts(headers), entry][-_MOST:]).decode()}


def past_attempts(headers: dict[str, Any]) -> list[dict[str, Any]]:
    """Oldest first; empty when there are none, or when what is there is not ours."""
    try:
        found = from_json(headers.get(HEADER, "[]"))
    except (ValueError, TypeError):
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
