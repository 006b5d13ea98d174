"""A small HTTP client.

with Client("http://127.0.0.1:8000", api_key) as client:
    job = client.submit("system.probe", {"payload": {"hello": "world"}}, wait=10)
    print(job.status, job.result)
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import JsonValue, ValidationError

from millrace.code import Programs
from millrace.datasets import Datasets
from millrace.dead_letters import DeadLetters
from millrace.models import Models
from millrace.notifications import Notifications, Webhooks
from millrace.paging import pages
from millrace.tasks import Tasks
from schemas.lifecycle import JobState
from schemas.problems import Problem
from schemas.resources import Job, JobExplanation, JobPage, JobSummary

DEFAULT_URL = "http://127.0.0.1:8000"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SILENCE_S = 60.0  # a live stream carries a comment more often than this
_MAX_RESUMES = 5
_PAUSE_S = 1.0


class ProblemError(Exception):
    """The server refused, and said why."""

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(f"{problem.title}: {problem.detail}" if problem.detail else problem.title)
        self.problem = problem
        self.status = problem.status
        self.retry_after_s = retry_after_s

    @classmethod
    def of(cls, response: httpx.Response) -> "ProblemError":
        """From a problem document, or from whatever a proxy in between has answered."""
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            title = response.reason_phrase or "unexpected answer"
            problem = Problem(
                type="about:blank", title=title, status=response.status_code, detail=response.text[:200]
            )
        retry_after = response.headers.get("retry-after", "")
        return cls(problem, float(retry_after) if retry_after.isdecimal() else None)


@dataclass(frozen=True)
class Event:
    """One event of a job's stream; `id` is its sequence number."""

    id: str
    type: str
    data: Any


class Client:
    """Speaks to one gateway. Raises ProblemError for a refusal, httpx.TransportError when nobody answers."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """URL and key default to MILLRACE_URL and MILLRACE_API_KEY."""
        url = base_url or os.environ.get("MILLRACE_URL") or DEFAULT_URL
        key = api_key or os.environ.get("MILLRACE_API_KEY")
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=url,
            headers={"X-API-Key": key} if key else {},
            timeout=timeout_s,
            transport=transport,
            trust_env=urlsplit(url).hostname not in _LOOPBACK,  # a proxy cannot reach this machine's own address
        )
        self.dead_letters = DeadLetters(self._request)
        self.datasets = Datasets(self._request)
        self.models = Models(self._request)
        self.webhooks = Webhooks(self._request)
        self.notifications = Notifications(self._request)
        self.code = Programs(self._request)
        self.tasks = Tasks(self._request)

    def submit(
        self,
        kind: str,
        params: Mapping[str, JsonValue],
        *,
        idempotency_key: str | None = None,
        wait: float | None = None,
        fresh: bool = False,
    ) -> Job:
        """Request a job. With `wait`, return when it finished or after so many seconds, whichever is first. With
        `fresh`, a model is asked also what it has answered before."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        headers |= {"Cache-Control": "no-cache"} if fresh else {}
        body = {"kind": kind, "params": dict(params)}
        return Job.model_validate_json(
            self._request("POST", "/v1/jobs", wait=wait, headers=headers, json=body).content
        )

    def get(self, id: str, *, wait: float | None = None) -> Job:
        """A job as it stands, or with `wait` as it stands when it finished or after so many seconds."""
        return Job.model_validate_json(self._request("GET", f"/v1/jobs/{id}", wait=wait).content)

    def cancel(self, id: str, reason: str = "") -> Job:
        """Cancel a job, wherever it is. One that has ended stays as it is."""
        return Job.model_validate_json(
            self._request("POST", f"/v1/jobs/{id}/cancel", json={"reason": reason}).content
        )

    def finish(self, id: str) -> Job:
        """Ask a running search to end early and keep the best that it has found."""
        return Job.model_validate_json(self._request("POST", f"/v1/jobs/{id}/finish").content)

    def why(self, id: str) -> JobExplanation:
        """Why a job stands where it stands, and what happens next."""
        return JobExplanation.model_validate_json(self._request("GET", f"/v1/jobs/{id}/why").content)

    def list(
        self,
        *,
        status: JobState | str | None = None,
        kind: str | None = None,
        created_after: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[JobSummary]:
        """All jobs, newest first; fetches page after page as you go on."""
        wanted = {"status": status, "kind": kind, "created_after": created_after and created_after.isoformat()}
        params = {key: str(value) for key, value in wanted.items() if value is not None}
        url = str(httpx.URL("/v1/jobs", params={**params, "limit": str(page_size)}))
        for page in pages(self._request, JobPage, url):
            yield from page.items

    def events(self, id: str, *, last_event_id: str | None = None) -> Iterator[Event]:
        """The events of a job until its outcome. A broken connection is resumed where it broke."""
        yield from self._resumed(f"/v1/jobs/{id}/events", last_event_id)

    def output(self, id: str, *, last_event_id: str | None = None) -> Iterator[Event]:
        """What the program of a job writes, as events `started`, `stdout`, `stderr`, `truncated`, and `ended` with
        the job. A broken connection is resumed where it broke."""
        yield from self._resumed(f"/v1/jobs/{id}/output", last_event_id)

    def watch(self, *topics: str, last_event_id: str | None = None) -> Iterator[Event]:
        """Events of all jobs whose topic matches one of these, for as long as you go on. A broken connection is
        resumed where it broke; an event of the type `gap` says that some are missing before the next one."""
        path = str(httpx.URL("/v1/events", params={"topic": list(topics)}))
        for event in self._resumed(path, last_event_id, endless=True):
            if event.type in ("message", "gap"):
                yield event

    def _resumed(self, path: str, last_event_id: str | None, *, endless: bool = False) -> Iterator[Event]:
        """A stream until its end, also past connections that break and gateways that stop."""
        failures = 0
        while True:
            stopping = endless
            try:
                for event in self._stream(path, last_event_id):
                    last_event_id, failures = event.id or last_event_id, 0
                    if event.type == "closing":
                        stopping = True
                    else:
                        yield event
                if not stopping:
                    return
            except httpx.TransportError:
                failures += 1
                if failures > _MAX_RESUMES:
                    raise
            time.sleep(_PAUSE_S * (failures - 1 if failures else 1))

    def _stream(self, path: str, last_event_id: str | None) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        timeout = httpx.Timeout(self._timeout_s, read=_SILENCE_S)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
                raise ProblemError.of(response)
            yield from parse_events(response.iter_lines())

    def _request(
        self,
        method: str,
        path: str,
        *,
        wait: float | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        content: Iterator[bytes] | None = None,
    ) -> httpx.Response:
        prefer = {"Prefer": f"wait={wait:g}"} if wait else {}
        timeout_s = self._timeout_s + (wait or 0)
        sent = {**(headers or {}), **prefer}
        response = self._http.request(method, path, headers=sent, json=json, content=content, timeout=timeout_s)
        if not response.is_success:
            raise ProblemError.of(response)
        return response

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def parse_events(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events, of which an incomplete last one is dropped, as the standard says."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                data = json.loads(fields["data"])
                yield Event(id=fields.get("id", ""), type=fields.get("event", "message"), data=data)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
