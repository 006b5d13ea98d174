"""Who did what, as pages."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import to_jsonable_python

from gateway.dependencies import Parts
from gateway.paging import paged
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
    parts: Parts,
    actions: Sequence[str],
    target: str | None,
    path: str,
    query: Mapping[str, str | None],
    limit: int,
    cursor: str | None,
) -> Response:
    """Newest first; `path` and `query` are what the list is asked by. Raises ProblemError, StoreUnavailable."""
    find = partial(audit.page, parts.database, actions, target)
    found, following = await paged(parts, path, query, limit, cursor, find, lambda entry: entry.at)
    page = AuditPage(items=[_audited(entry) for entry in found], next=following)
    return Response(page.model_dump_json(), media_type="application/json")


def _audited(entry: AuditEntry) -> Audited:
    return Audited(**entry.model_dump(exclude={"schema_version", "detail"}), detail=to_jsonable_python(entry.detail))
