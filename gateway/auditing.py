"""Who did what, as pages."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import to_jsonable_python

from gateway import cursors
from gateway.dependencies import Parts
from schemas.dead_letters import Audited, AuditPage
from storage import audit
from storage.documents import AuditEntry


async def note(
    request: Request, parts: Parts, actor: str, action: str, target: str, detail: Mapping[str, Any]
) -> None:
    """Add an entry. Raises StoreUnavailable."""
    request_id = request.scope["millrace.request_id"]
    await audit.add(parts.database, audit.entry(action, target, actor=actor, detail=detail, request_id=request_id))


async def audit_page(
    parts: Parts, actions: Sequence[str], target: str | None, path: str, limit: int, cursor: str | None
) -> Response:
    """Newest first. `path` is what the next page is asked by. Raises ProblemError, StoreUnavailable."""
    name = urlencode({"audit": target or ""})
    after = cursors.decode(parts.keys.cursor_secret, name, cursor) if cursor else None
    found = await parts.store.reading(audit.page(parts.database, actions, target, limit + 1, after))
    following = None
    if len(found) > limit:
        last = found[limit - 1]
        token = cursors.encode(parts.keys.cursor_secret, name, last.at, last.id)
        following = f"{path}{'&' if '=' in path else ''}" + urlencode({"limit": limit, "cursor": token})
    page = AuditPage(items=[_audited(entry) for entry in found[:limit]], next=following)
    return Response(page.model_dump_json(), media_type="application/json")


def _audited(entry: AuditEntry) -> Audited:
    return Audited(**entry.model_dump(exclude={"schema_version", "detail"}), detail=to_jsonable_python(entry.detail))
