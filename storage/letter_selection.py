"""Which letters: a filter as a query, and letters cut into windows of time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.dead_letters import LetterFilter
from storage.documents import LetterState

_SEARCHED = ("error_type", "error_detail", "traceback")
_EXACT = ("reason", "kind", "queue", "fingerprint", "job_id", "code_version")


@dataclass(frozen=True)
class Window:
    """A step of a replay: letters that died within these bounds, both included."""

    first: datetime
    last: datetime


class Windows:
    """Cuts letters, oldest death first, into windows of about `size`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._closed: list[Window] = []
        self._open: Window | None = None
        self._count = 0

    def add(self, died_at: datetime) -> None:
        # A window ends between two times: letters that died in the same millisecond cannot be told apart by it.
        if self._open is not None and self._count >= self.size and died_at != self._open.last:
            self._closed.append(self._open)
            self._open, self._count = None, 0
        self._open = Window(self._open.first if self._open else died_at, died_at)
        self._count += 1

    def all(self) -> list[Window]:
        return self._closed if self._open is None else [*self._closed, self._open]


def query(
    wanted: LetterFilter, states: Sequence[LetterState], stored_until: datetime | None = None
) -> dict[str, Any]:
    """The state comes first: see `both`."""
    found: dict[str, Any] = {"state": states[0] if len(states) == 1 else {"$in": list(states)}}
    found |= {name: value for name in _EXACT if (value := getattr(wanted, name)) is not None}
    if wanted.ids is not None:
        found["_id"] = {"$in": wanted.ids}
    died = {"$gt": wanted.died_after, "$lt": wanted.died_before}
    if died := {operator: time for operator, time in died.items() if time is not None}:
        found["died_at"] = died
    if stored_until is not None:
        found["stored_at"] = {"$lte": stored_until}
    if wanted.q is not None:
        text = {"$regex": re.escape(wanted.q), "$options": "i"}
        found["$or"] = [{name: text} for name in _SEARCHED]
    return found


def within(window: Window) -> dict[str, Any]:
    return {"died_at": {"$gte": window.first, "$lte": window.last}}


def both(conditions: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    """As one flat query, the place first: the embedded store takes the first clause that has an index, and none when
    there is an operator such as `$and`."""
    merged = {name: conditions.get(name, {}) | value for name, value in place.items()}
    return {**merged, **{name: value for name, value in conditions.items() if name not in merged}}
