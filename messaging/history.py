"""The failed attempts of a command, carried in a header of its own from retry to retry and into its dead letter."""

from typing import Any

from pydantic_core import from_json, to_json

from schemas.dead_letters import FailedAttempt

HEADER = "mr-attempts"
_MOST = 16  # the newest are kept: all headers of a message share one frame
_LONGEST_DETAIL = 300


def with_attempt(headers: dict[str, Any], failed: FailedAttempt) -> dict[str, Any]:
    """`headers` with one more failed attempt."""
    entry = failed.model_dump() | {"error_detail": failed.error_detail[:_LONGEST_DETAIL]}
    return headers | {HEADER: to_json([*past_attempts(headers), entry][-_MOST:]).decode()}


def past_attempts(headers: dict[str, Any]) -> list[dict[str, Any]]:
    """Oldest first; empty when there are none, or when what is there is not ours."""
    try:
        found = from_json(headers.get(HEADER, "[]"))
    except (ValueError, TypeError):
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
