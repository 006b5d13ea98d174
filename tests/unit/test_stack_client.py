"""The HTTP client against a scripted server."""

import json
from collections.abc import Callable, Iterator
from itertools import islice

import httpx
import pytest

from millrace import Client, ProblemError
from millrace import client as client_module
from millrace.client import Event, parse_events

JOB = {
    "id": "j1",
    "kind": "system.probe",
    "status": "queued",
    "principal": "operator",
    "created_at": "2026-01-01T00:00:00.000Z",
    "attempt": 1,
    "generation": 0,
    "params": {"payload": {}},
    "links": {"self": "/v1/jobs/j1", "events": "/v1/jobs/j1/events"},
}
Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler) -> Client:
    return Client("http://gateway", "mr_key", transport=httpx.MockTransport(handler))


def test_submit_sends_key_wait_and_idempotency_key() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/jobs"
        assert request.headers["x-api-key"] == "mr_key"
        assert request.headers["prefer"] == "wait=10"
        assert request.headers["idempotency-key"] == "once"
        assert json.loads(request.content) == {"kind": "system.probe", "params": {"payload": {}}}
        assert request.extensions["timeout"]["read"] > 10
        return httpx.Response(202, json=JOB)

    with client_of(handler) as client:
        job = client.submit("system.probe", {"payload": {}}, idempotency_key="once", wait=10)
    assert (job.id, job.status) == ("j1", "queued")


def test_a_refusal_is_a_problem_with_its_fields_and_delay() -> None:
    problem = {"type": "/problems/x", "title": "Busy", "status": 429, "detail": "slow down"}
    answer = httpx.Response(429, json=problem, headers={"retry-after": "3"})
    with client_of(lambda _: answer) as client, pytest.raises(ProblemError, match="Busy: slow down") as caught:
        client.get("j1")
    assert (caught.value.status, caught.value.retry_after_s) == (429, 3.0)


def test_what_a_proxy_answers_is_a_problem_too() -> None:
    answer = httpx.Response(502, text="<html>bad gateway")
    with client_of(lambda _: answer) as client, pytest.raises(ProblemError, match="Bad Gateway") as caught:
        client.get("j1")
    assert caught.value.status == 502


def test_list_goes_on_from_page_to_page() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("cursor") == "c2":
            return httpx.Response(200, json={"items": [JOB | {"id": "j3"}], "next": None})
        assert dict(request.url.params) == {"kind": "system.probe", "limit": "2"}
        items = [JOB, JOB | {"id": "j2"}]
        return httpx.Response(200, json={"items": items, "next": "/v1/jobs?cursor=c2"})

    with client_of(handler) as client:
        assert [job.id for job in client.list(kind="system.probe", page_size=2)] == ["j1", "j2", "j3"]


class Broken(httpx.SyncByteStream):
    """A stream whose connection breaks after the first event."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'id: 1\nevent: job\ndata: {"n": 1}\n\nid: 2\nevent: job\n'
        raise httpx.ReadError("connection reset")


def test_a_broken_stream_is_resumed_after_the_last_whole_event() -> None:
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("last-event-id"))
        if len(seen) == 1:
            return httpx.Response(200, stream=Broken())
        return httpx.Response(200, text='id: 2\nevent: job\ndata: {"n": 2}\n\n')

    with client_of(handler) as client:
        assert [event.data["n"] for event in client.events("j1")] == [1, 2]
    assert seen == [None, "1"]


def test_topics_are_watched_past_a_gateway_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAUSE_S", 0.0)
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.params.get_list("topic") == ["a.#", "b.c.d"]
        seen.append(request.headers.get("last-event-id"))
        if len(seen) == 1:
            return httpx.Response(200, text="id: 1-7\nevent: subscribed\ndata: {}\n\nevent: closing\ndata: {}\n\n")
        if len(seen) == 2:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, text='id: 1-9\nevent: gap\ndata: {}\n\nid: 1-9\ndata: {"n": 2}\n\n')

    with client_of(handler) as client:
        found = [(event.id, event.type) for event in islice(client.watch("a.#", "b.c.d"), 2)]
    assert found == [("1-9", "gap"), ("1-9", "message")]
    assert seen == [None, "1-7", "1-7"]


def test_events_are_parsed_as_the_standard_says() -> None:
    lines = [": hello", "", "id: 7", "event: job", "data: [1,", "data: 2]", "", "data: {}", ""]
    assert list(parse_events(iter(lines))) == [Event("7", "job", [1, 2]), Event("", "message", {})]
