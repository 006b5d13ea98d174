"""Lists, a page at a time. Pages are stable while more is added: each begins behind the last of the one before."""

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Query

from gateway import cursors
from gateway.dependencies import Parts

Limit = Annotated[int, Query(ge=1, le=200)]
Behind = tuple[datetime, str] | None
"""Time and id of what the page before ended with."""


class _Listed(Protocol):
    @property
    def id(self) -> str: ...


L = TypeVar("L", bound=_Listed)


async def paged(
    parts: Parts,
    path: str,
    query: Mapping[str, Any],
    limit: int,
    cursor: str | None,
    find: Callable[[int, Behind], Coroutine[Any, Any, list[L]]],
    time: Callable[[L], datetime],
) -> tuple[list[L], str | None]:
    """At most `limit` of what `find` finds, and the path of the next page; None on the last. `time` is what the list
    is ordered by. A cursor belongs to its path and to what of `query` is not None. Raises ProblemError,
    StoreUnavailable."""
    asked = {name: value for name, value in query.items() if value is not None}
    secret, name = parts.keys.cursor_secret, f"{path}?{urlencode(asked)}"
    behind = cursors.decode(secret, name, cursor) if cursor else None
    found = await parts.store.reading(find(limit + 1, behind))
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    following = {**asked, "limit": limit, "cursor": cursors.encode(secret, name, time(last), last.id)}
    return found[:limit], f"{path}?{urlencode(following)}"
