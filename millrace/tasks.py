"""Tasks in the HTTP client: `Client().tasks`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from pydantic import JsonValue, TypeAdapter

from millrace.paging import pages
from schemas.resources import Job
from schemas.tasks import Task, TaskContent, TaskDraft, TaskPage, TaskSummary, TaskVersion, Visibility

_PATH = "/v1/tasks"
_VERSIONS = TypeAdapter(list[TaskVersion])


class Tasks:
    """Make, find, change, fork and run tasks, which are named by id or, your own, by name. Raises what the client
    raises."""

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request

    def add(self, draft: TaskDraft) -> Task:
        return self._task("POST", _PATH, draft.model_dump(mode="json"))

    def find(
        self, text: str | None = None, *, tag: str | None = None, mine: bool = False, page_size: int = 100
    ) -> Iterator[TaskSummary]:
        """Yours and public ones, last changed first; fetches page after page as you go on."""
        asked = {"q": text, "tag": tag, "mine": "true" if mine else None, "limit": str(page_size)}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        for page in pages(self._request, TaskPage, f"{_PATH}?{query}"):
            yield from page.items

    def get(self, task: str, version: str | None = None) -> Task:
        return self._task("GET", _at(task) + _asked(version))

    def versions(self, task: str) -> list[TaskVersion]:
        """Newest first."""
        return _VERSIONS.validate_json(self._request("GET", f"{_at(task)}/versions").content)

    def change(
        self,
        task: str,
        *,
        content: TaskContent | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        visibility: Visibility | None = None,
        latest: int | None = None,
    ) -> Task:
        """What is given; new content is a new version."""
        body: dict[str, Any] = {"description": description, "tags": tags, "visibility": visibility, "latest": latest}
        body = {name: value for name, value in body.items() if value is not None}
        if content is not None:
            body["content"] = content.model_dump(mode="json")
        return self._task("PUT", _at(task), body)

    def fork(self, task: str, name: str, version: str | None = None) -> Task:
        return self._task("POST", f"{_at(task)}/fork", {"name": name, "version": version})

    def run(
        self,
        task: str,
        inputs: Sequence[JsonValue],
        *,
        version: str | None = None,
        wait: float | None = None,
        **limits: float,
    ) -> Job:
        body = {"inputs": list(inputs), "version": version, **limits}
        return self._job(f"{_at(task)}/run", body, wait)

    def validate(self, task: str, version: str | None = None, *, wait: float | None = None) -> Job:
        """Run the task's example."""
        return self._job(f"{_at(task)}/validate{_asked(version)}", None, wait)

    def delete(self, task: str) -> None:
        self._request("DELETE", _at(task))

    def _task(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Task:
        return Task.model_validate_json(self._request(method, url, json=body).content)

    def _job(self, url: str, body: Mapping[str, Any] | None, wait: float | None) -> Job:
        return Job.model_validate_json(self._request("POST", url, json=body, wait=wait).content)


def _at(task: str) -> str:
    return f"{_PATH}/{quote(task, safe='')}"


def _asked(version: str | None) -> str:
    return "" if version is None else "?" + urlencode({"version": version})
