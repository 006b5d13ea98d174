"""Dead letters in the HTTP client: `Client().dead_letters`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
from pydantic import JsonValue

from millrace.paging import pages
from schemas.dead_letters import (
    Audited,
    AuditPage,
    DeadLetter,
    Discarded,
    Edited,
    LetterFilter,
    LetterGroups,
    LetterPage,
    LetterSummary,
    ReplayPreview,
)
from schemas.resources import Job

_PATH = "/v1/dead-letters"


class DeadLetters:
    """Find, understand, mend, replay and discard. Raises what the client raises."""

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request

    def find(
        self, wanted: LetterFilter | None = None, *, state: str = "open", page_size: int = 100
    ) -> Iterator[LetterSummary]:
        """Newest first; fetches page after page as you go on. `state` may be `all`."""
        url = f"{_PATH}?" + urlencode({**_parameters(wanted), "state": state, "limit": page_size})
        for page in pages(self._request, LetterPage, url):
            yield from page.items

    def groups(self, wanted: LetterFilter | None = None, *, state: str = "open") -> LetterGroups:
        """Groups of letters with one fingerprint, largest first."""
        url = f"{_PATH}/groups?" + urlencode({**_parameters(wanted), "state": state})
        return LetterGroups.model_validate_json(self._request("GET", url).content)

    def get(self, id: str) -> DeadLetter:
        return DeadLetter.model_validate_json(self._request("GET", f"{_PATH}/{id}").content)

    def preview(self, wanted: LetterFilter) -> ReplayPreview:
        """What a replay would take now."""
        body = {"filter": _json(wanted), "dry_run": True}
        return ReplayPreview.model_validate_json(self._request("POST", f"{_PATH}/replay", json=body).content)

    def replay(
        self,
        wanted: LetterFilter,
        *,
        rate: float | None = None,
        canary: int | None = None,
        canary_timeout_s: float | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Job:
        """Start a replay, at most `rate` letters a second, `canary` of them first. The job says how it goes."""
        asked = {"rate": rate, "canary": canary, "canary_timeout_s": canary_timeout_s}
        body = {"filter": _json(wanted)} | {name: value for name, value in asked.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer = self._request("POST", f"{_PATH}/replay", wait=wait, headers=headers, json=body)
        return Job.model_validate_json(answer.content)

    def edit(
        self, id: str, params: Mapping[str, JsonValue], *, revision: int | None = None, dry_run: bool = False
    ) -> Edited:
        """Other parameters for its replay. With `revision`, refused when somebody edited it since."""
        body = {"params": dict(params), "revision": revision, "dry_run": dry_run}
        return Edited.model_validate_json(self._request("POST", f"{_PATH}/{id}/edit", json=body).content)

    def discard(self, wanted: LetterFilter, *, reason: str, dry_run: bool = False) -> int:
        """How many open letters are given up for good; with `dry_run`, would be."""
        body = {"filter": _json(wanted), "reason": reason, "dry_run": dry_run}
        answer = self._request("POST", f"{_PATH}/discard", json=body)
        return Discarded.model_validate_json(answer.content).count

    def audit(self, target: str | None = None, *, page_size: int = 100) -> Iterator[Audited]:
        """Who did what, newest first, to all letters or to one letter or replay."""
        url = f"{_PATH}/audit?" + urlencode({"limit": page_size} | ({"target": target} if target else {}))
        for page in pages(self._request, AuditPage, url):
            yield from page.items


def _json(wanted: LetterFilter) -> dict[str, Any]:
    return wanted.model_dump(mode="json", exclude_none=True)


def _parameters(wanted: LetterFilter | None) -> dict[str, Any]:
    return _json(wanted) if wanted is not None else {}
