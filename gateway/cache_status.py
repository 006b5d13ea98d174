"""`Cache-Status` (RFC 9211): how much of an answer was a kept one."""

from collections.abc import Mapping
from typing import Any

from schemas.envelope import CacheControl

_FORBIDDEN = {"no-cache": "request", "no-store": "bypass"}


def cache_status(result: Mapping[str, Any], asked: CacheControl | None) -> str:
    """Of the result of a repeatable kind."""
    found, inputs = result.get("cached", 0), len(result["outputs"])
    if result.get("degraded"):
        return 'millrace; hit; detail="no worker runs"'
    if found == inputs:
        return "millrace; hit"
    if found:
        return f'millrace; fwd=partial; detail="{found} of {inputs} inputs"'
    return f"millrace; fwd={_FORBIDDEN.get(asked or '', 'miss')}"
