"""Whatever is wrong with a request or a message: the documented answer, and everybody else goes on."""

import asyncio
import hashlib
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from pamqp import encode
from pydantic_core import from_json

from gateway.keys import new_key
from messaging import names
from schemas.jobs.system_probe import RunProbe
from schemas.jobs.text_embed import EmbedText
from schemas.problems import PROBLEM_TYPES
from storage.blobs import BlobStore
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.served import served_gateway
from tests.support.servers import Servers
from tests.support.waiting import eventually
from tests.support.wire import command, letters, publish, raw_store

pytestmark = pytest.mark.usefixtures("deployment")

PROBE = {"kind": "system.probe"}
PROBES = names.work_queue("system.probe")


def check_problem(response: httpx.Response, status: int, slug: str, *pointers: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["status"]) == (f"/problems/{slug}", status)
    assert problem["title"] == PROBLEM_TYPES[slug].title
    assert problem["instance"] == response.headers["x-request-id"]
    assert sorted(error["pointer"] for error in problem.get("errors", [])) == sorted(pointers)


def probe(**params: Any) -> dict[str, Any]:
    return {"kind": "system.probe", "params": params}


BODIES: list[tuple[str, str, Any, list[str]]] = [
    ("unknown kind", "/v1/jobs", {"kind": "text.rhyme"}, ["/kind"]),
    (
        "wrong types",
        "/v1/jobs",
        probe(payload=[], delay_s="soon", failure="maybe", **{"a~b/c": 1}),
        ["/params/payload", "/params/delay_s", "/params/failure", "/params/a~0b~1c"],
    ),
    ("wrong frame", "/v1/jobs", {"params": "none", "priority": 1}, ["/kind", "/params", "/priority"]),
    ("no inputs", "/v1/inference/embed", {"inputs": []}, ["/inputs"]),
    ("no inputs, generic", "/v1/jobs", {"kind": "text.embed", "params": {"inputs": []}}, ["/params/inputs"]),
    ("too many inputs", "/v1/inference/embed", {"inputs": ["a"] * 1_001}, ["/inputs"]),
    ("text too long", "/v1/inference/embed", {"inputs": ["a", "b" * 10_001, ""]}, ["/inputs/1", "/inputs/2"]),
    ("model as a path", "/v1/inference/embed", {"inputs": ["a"], "model": "../secrets"}, ["/model"]),
    ("a list", "/v1/inference/embed", ["a"], [""]),
    ("a string", "/v1/jobs", "system.probe", [""]),
]


async def test_invalid_parameters_are_named_all_at_once(subtests: pytest.Subtests) -> None:
    async with gateway() as client:
        for name, path, body, pointers in BODIES:
            with subtests.test(name):
                check_problem(await client.post(path, json=body), 422, "invalid-parameters", *pointers)


CONTENTS: list[tuple[str, bytes, str | None, int, str]] = [
    ("not UTF-8", b'{"kind": "\xff\xfe"}', "application/json", 422, "malformed-json"),
    ("cut off", b'{"kind": "system.probe"', "application/json", 422, "malformed-json"),
    ("empty", b"", "application/json", 422, "malformed-json"),
    ("half a surrogate pair", b'{"kind": "\\ud800"}', "application/json", 422, "malformed-json"),
    ("nested without end", b"[" * 100_000, "application/json", 422, "malformed-json"),
    ("a form", b"kind=system.probe", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
    ("text", b'{"kind": "system.probe"}', "text/plain", 415, "unsupported-media-type"),
    ("no type", b'{"kind": "system.probe"}', None, 415, "unsupported-media-type"),
]


async def test_content_that_is_no_json_is_refused(subtests: pytest.Subtests) -> None:
    async with gateway() as client:
        for name, content, media_type, status, slug in CONTENTS:
            with subtests.test(name):
                headers = {"Content-Type": media_type} if media_type else {}
                check_problem(await client.post("/v1/jobs", content=content, headers=headers), status, slug)


async def test_json_with_a_charset_or_a_suffix_is_json() -> None:
    async with gateway() as client:
        for media_type in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"):
            response = await client.post(
                "/v1/jobs", content=b'{"kind": "system.probe"}', headers={"Content-Type": media_type}
            )
            assert response.status_code == 202


UNUSUAL: list[tuple[str, bytes, int]] = [
    ("an integer beyond 64 bits", b'{"n": 99999999999999999999}', 422),
    ("a number beyond a double", b'{"n": 1e400}', 422),
    ("a name with a NUL", b'{"a\\u0000b": 1}', 422),
    ("deeper than a document", b'{"a": ' * 150 + b"1" + b"}" * 150, 422),
    ("not a number", b'{"a": NaN, "b": Infinity}', 422),
    ("names of operators", b'{"$set": {"a.b": 1}, "": 2}', 200),
    ("the limits", b'{"n": -9223372036854775808, "s": "\\u0000"}', 200),
]


async def test_what_json_can_say_and_a_store_cannot_hold_stops_nobody(subtests: pytest.Subtests) -> None:
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        for name, payload, status in UNUSUAL:
            with subtests.test(name):
                content = b'{"kind": "system.probe", "params": {"payload": ' + payload + b"}}"
                headers = {"Content-Type": "application/json", "Prefer": "wait=5"}
                response = await client.post("/v1/jobs", content=content, headers=headers)
                assert response.status_code == status, response.text
                if status == 200:
                    assert response.json()["status"] == "succeeded"
                    assert response.json()["result"]["payload"] == from_json(payload)
        after = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=5"})
    assert after.json()["status"] == "succeeded"


BIG = 50 * 1024 * 1024


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/dead-letters/discard", f"/v1/jobs/{'f' * 32}/cancel"])
async def test_a_large_body_with_its_length_is_refused_before_any_of_it_is_sent(path: str) -> None:
    async with served_gateway() as client, _connection(client) as (reader, writer):
        writer.write(_head(client, f"Content-Length: {BIG}", path))
        assert await _refusal(reader) == 413


async def test_a_large_body_in_chunks_is_refused_at_the_limit() -> None:
    async with served_gateway(max_body_bytes=1024 * 1024) as client, _connection(client) as (reader, writer):
        writer.write(_head(client, "Transfer-Encoding: chunked"))
        chunk, sent = b"10000\r\n" + b" " * 65_536 + b"\r\n", 0
        refusal = asyncio.create_task(_refusal(reader))
        while not refusal.done() and sent < BIG:
            writer.write(chunk)
            await asyncio.wait({refusal}, timeout=0.001)
            sent += 65_536
        assert await refusal == 413
        assert sent < BIG / 2


def _connection(client: httpx.AsyncClient) -> Any:
    return _Connection(client.base_url.host, client.base_url.port or 0)


class _Connection:
    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return reader, self._writer

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


def _head(client: httpx.AsyncClient, length: str, path: str = "/v1/jobs") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: gateway",
        f"X-API-Key: {client.headers['X-API-Key']}",
        "Content-Type: application/json",
        length,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def _refusal(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(10):
        status = int((await reader.readline()).split()[1])
        headers = await reader.readuntil(b"\r\n\r\n")
    assert b"application/problem+json" in headers.lower()
    return status


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    async with gateway(max_body_bytes=2048) as client:
        frame = len(b'{"kind":"system.probe","params":{"payload":{"a":""}}}')
        for surplus, status in ((0, 202), (1, 413)):
            content = b'{"kind":"system.probe","params":{"payload":{"a":"%s"}}}' % (b"x" * (2048 - frame + surplus))
            response = await client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
            assert response.status_code == status


async def test_a_key_is_asked_for_and_checked(subtests: pytest.Subtests) -> None:
    async with gateway() as client:
        key = client.headers.pop("X-API-Key")
        refused: dict[str, Any] = {
            "missing": {},
            "unknown": {"X-API-Key": new_key()},
            "cut off": {"X-API-Key": key[:-3]},
            "mistyped": {"Authorization": f"Bearer {key[:10]}{'0' if key[10] != '0' else '1'}{key[11:]}"},
            "not ASCII": {"X-API-Key": "schl\u00fcssel".encode("latin-1")},
            "another scheme": {"Authorization": f"Basic {key}"},
            "empty": {"X-API-Key": "", "Authorization": "Bearer "},
        }
        for name, headers in refused.items():
            with subtests.test(name):
                for response in (
                    await client.post("/v1/jobs", json=PROBE, headers=headers),
                    await client.get("/v1/jobs", headers=headers),
                    await client.get(f"/v1/jobs/{'0' * 32}/events", headers=headers),
                ):
                    check_problem(response, 401, "unauthenticated")
                    assert response.headers["www-authenticate"].startswith("Bearer")
        cut_off = (await client.get("/v1/kinds", headers={"X-API-Key": key[:-3]})).json()
        unknown = (await client.get("/v1/kinds", headers={"X-API-Key": new_key()})).json()
        assert "cut off" in cut_off["detail"]
        assert "not known" in unknown["detail"]
        for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer {key}"}):
            assert (await client.post("/v1/jobs", json=PROBE, headers=headers)).status_code == 202
            assert (await client.get("/v1/jobs", headers=headers)).status_code == 200


async def test_the_key_is_asked_for_before_the_body_is_looked_at() -> None:
    async with gateway() as client:
        del client.headers["X-API-Key"]
        check_problem(await client.post("/v1/jobs", content=b"garbage"), 401, "unauthenticated")


HEADERS: list[tuple[str, str]] = [
    ("Cancel-After", "soon"),
    ("Cancel-After", "5"),
    ("Cancel-After", "-5m"),
    ("Cancel-After", "1.5h"),
    ("Cancel-After", ""),
    ("Cancel-After", "99999999s"),
    ("Cancel-After", "9999999d"),
    ("Idempotency-Key", ""),
    ("Idempotency-Key", "two words"),
    ("Idempotency-Key", "k" * 256),
]


async def test_a_header_that_cannot_be_understood_is_named(subtests: pytest.Subtests) -> None:
    async with gateway() as client:
        for name, value in HEADERS:
            with subtests.test(f"{name}: {value[:20]}"):
                response = await client.post("/v1/jobs", json=PROBE, headers={name: value})
                check_problem(response, 400, "invalid-header")
                assert response.json()["detail"].startswith(name)
        accepted = (await client.post("/v1/jobs", json=PROBE)).json()
        for value in ("first", "-1", "1.5", "9" * 17, "0x10"):
            with subtests.test(f"Last-Event-ID: {value}"):
                response = await client.get(f"/v1/jobs/{accepted['id']}/events", headers={"Last-Event-ID": value})
                check_problem(response, 400, "invalid-header")


async def test_a_query_that_cannot_be_understood_is_named(subtests: pytest.Subtests) -> None:
    queries = [
        ("limit=0", ["limit"]),
        ("limit=201", ["limit"]),
        ("created_after=0001-01-01T00:00:00%2B14:00", ["created_after"]),
        ("limit=many&status=asleep&created_after=yesterday", ["limit", "status", "created_after"]),
        ("cursor=garbage", ["cursor"]),
        ("cursor=%C3%BC%00", ["cursor"]),
        (f"cursor={'A' * 44}", ["cursor"]),
    ]
    async with gateway() as client:
        for query, pointers in queries:
            with subtests.test(query):
                check_problem(await client.get(f"/v1/jobs?{query}"), 400, "invalid-query", *pointers)


async def test_a_cursor_is_good_for_its_own_list_only() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        for _ in range(2):
            await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=5"})
        following = (await client.get("/v1/jobs?limit=1&kind=system.probe")).json()["next"]
        cursor = httpx.URL(following).params["cursor"]
        assert (await client.get(following)).status_code == 200
        same = await client.get("/v1/jobs", params={"cursor": cursor, "kind": "system.probe", "limit": 7})
        assert same.status_code == 200, "another page size is the same list"
        flipped = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]
        for params in (
            {"cursor": cursor},
            {"cursor": cursor, "kind": "text.embed"},
            {"cursor": cursor, "kind": "system.probe", "status": "succeeded"},
            {"cursor": flipped, "kind": "system.probe"},
            {"cursor": cursor[:-4], "kind": "system.probe"},
        ):
            check_problem(await client.get("/v1/jobs", params=params), 400, "invalid-query", "cursor")


async def test_what_is_not_there_is_a_404(subtests: pytest.Subtests) -> None:
    async with gateway() as client:
        for path in (f"/v1/jobs/{'0' * 32}", f"/v1/jobs/{'0' * 32}/events", "/v1/jobs/x", "/nowhere", "/problems/x"):
            with subtests.test(path):
                check_problem(await client.get(path), 404, "not-found")
        response = await client.post("/v1/inference/rhyme", json={})
        check_problem(response, 404, "not-found")
        assert "embed" in response.json()["detail"]


async def test_a_wrong_method_is_told_the_right_ones(subtests: pytest.Subtests) -> None:
    allowed = {
        "/v1/jobs": {"GET", "POST"},
        f"/v1/jobs/{'0' * 32}": {"GET"},
        "/v1/inference/embed": {"POST"},
        "/metrics": {"GET"},
    }
    async with gateway() as client:
        for path, methods in allowed.items():
            with subtests.test(path):
                response = await client.delete(path)
                check_problem(response, 405, "method-not-allowed")
                assert set(response.headers["allow"].split(", ")) == methods


async def test_every_problem_type_has_a_page() -> None:
    async with gateway() as client:
        del client.headers["X-API-Key"]
        index = (await client.get("/problems")).text
        for problem in PROBLEM_TYPES.values():
            page = await client.get(problem.path)
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
            assert problem.title in page.text
            assert problem.path in index


async def test_a_repeat_is_the_same_job() -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    body = probe(payload={"order": 1})
    async with running("ledger", "diagnostics"):
        async with gateway() as client:
            first = await client.post("/v1/jobs", json=body, headers=headers)
            assert (first.status_code, first.headers.get("idempotent-replayed")) == (202, None)
            done = await client.get(first.headers["location"], headers={"Prefer": "wait=5"})
            again = await client.post("/v1/jobs", json=body, headers=headers)
            alias = await client.post("/api/v1/jobs", json=body, headers=headers)
            other_key = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": uuid4().hex})
        async with gateway() as client:  # another process, which has never seen the first request
            elsewhere = await client.post("/v1/jobs", json=body, headers=headers)
            waited = await client.post("/v1/jobs", json=body, headers=headers | {"Prefer": "wait=5"})
    assert done.json()["status"] == "succeeded"
    for repeat in (again, alias, elsewhere, waited):
        assert repeat.headers["idempotent-replayed"] == "true"
        assert repeat.headers["location"] == first.headers["location"]
        assert repeat.json() == done.json()
    assert [repeat.status_code for repeat in (again, alias, elsewhere, waited)] == [202, 202, 202, 200]
    assert other_key.json()["id"] != first.json()["id"]


async def test_a_repeat_is_known_when_redis_forgot_it(servers: Servers) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    async with running("ledger", "diagnostics"), gateway() as client:
        first = await client.post("/v1/jobs", json=PROBE, headers=headers | {"Prefer": "wait=5"})
        await servers.redis.kill()
        await servers.redis.start()
        again = await client.post("/v1/jobs", json=PROBE, headers=headers)
        other = await client.post("/v1/jobs", json=probe(payload={"order": 2}), headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json() == first.json()
    check_problem(other, 422, "idempotency-key-reused")


async def test_a_key_with_another_body_is_refused_at_once(subtests: pytest.Subtests) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    async with gateway() as client:  # no ledger: nobody but Redis knows the first request
        assert (await client.post("/v1/jobs", json=PROBE, headers=headers)).status_code == 202
        for body in (probe(payload={"order": 2}), {"kind": "text.embed", "params": {"inputs": ["a"]}}):
            with subtests.test(str(body["kind"])):
                check_problem(
                    await client.post("/v1/jobs", json=body, headers=headers), 422, "idempotency-key-reused"
                )
        same = await client.post("/v1/jobs", json=probe(payload={}), headers=headers)
        assert same.status_code == 202, "defaults spelled out are the same request"


async def test_concurrent_repeats_are_one_job(deployment: Deployment) -> None:
    headers = {"Idempotency-Key": uuid4().hex, "Prefer": "wait=10"}
    async with running("ledger", "diagnostics"), gateway() as client:
        answers = await asyncio.gather(*(client.post("/v1/jobs", json=PROBE, headers=headers) for _ in range(20)))
        assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {(200, answers[0].json()["id"])}
        assert {answer.json()["status"] for answer in answers} == {"succeeded"}
        listed = (await client.get("/v1/jobs")).json()["items"]
    assert len(listed) == 1


GARBAGE = b"\x00\xff not a message \xfe"
HOSTILE: dict[str, Any] = {
    "cloudEvents_id": "",
    "mr-job-id": ["not", "a", "string"],
    "mr-attempt": -1,
    "mr-generation": {"nested": {"a.b": 1, "$where": bytearray(b"\xff\xfe"), "nul\x00": None}},
    "mr-dead-reason": "no such reason",
    "mr-dead-queue": 7,
    "mr-claim-path": "../../etc/passwd",
    "mr-claim-sha256": True,
    "x-death": "a lie",
    "x-delivery-count": "many",
    "$set": 1.5,
    "a.b": 2**62,
    "nul\x00": [1, [2, {"deep": [bytearray(b"\x80")]}]],
    "\u00e4" * 60: "\u0000\uffff",
}


async def test_garbage_on_a_work_queue_becomes_a_letter_and_the_pool_goes_on(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        await publish(deployment, "", PROBES, GARBAGE)
        await publish(deployment, "", PROBES, b"{}", {"mr-kind": "system.probe", "traceparent": "?"})
        await publish(deployment, "", PROBES, b"[]", command(RunProbe).headers() | {"origin": "test"})
        after = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=10"})
        found = {letter["body"]: letter for letter in await letters(deployment, 3)}
    assert after.json()["status"] == "succeeded"
    assert set(found) == {GARBAGE, b"{}", b"[]"}
    assert {(letter["reason"], letter["queue"]) for letter in found.values()} == {("undecodable", PROBES)}
    assert found[b"{}"]["headers"] == {"mr-kind": "system.probe", "traceparent": "?"}
    assert found[b"[]"]["headers"]["origin"] == "test"
    assert "id: Field required" in found[GARBAGE]["error_detail"]


async def test_garbage_on_the_exchanges_becomes_a_letter_and_the_ledger_goes_on(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        await publish(deployment, names.EVENTS, "system.probe.succeeded", GARBAGE)
        await publish(deployment, names.COMMANDS, "no.such.kind", b"[]", {"mr-kind": "no.such.kind"})
        await publish(deployment, "", names.LEDGER, b"null")
        after = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=10"})
        found = {letter["body"]: letter for letter in await letters(deployment, 3)}
    assert after.json()["status"] == "succeeded"
    assert set(found) == {GARBAGE, b"[]", b"null"}
    assert {(letter["reason"], letter["queue"]) for letter in found.values()} == {("undecodable", names.LEDGER)}
    assert found[GARBAGE]["routing_key"] == "system.probe.succeeded"


async def test_hostile_headers_become_a_letter_wherever_they_arrive(deployment: Deployment) -> None:
    queues = [PROBES, names.LEDGER, names.DEAD]
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        for queue in queues:
            await publish(deployment, "", queue, queue.encode(), HOSTILE)
        after = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=10"})
        found = await letters(deployment, 3)
    assert after.json()["status"] == "succeeded"
    assert {letter["body"] for letter in found} == {queue.encode() for queue in queues}
    kept = {letter["body"]: letter["headers"] for letter in found}[PROBES.encode()]
    assert kept["a_b"] == 2**62
    assert kept["mr-job-id"] == ["not", "a", "string"]


async def test_what_the_client_can_read_but_not_write_still_becomes_a_letter(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_value = encode.encode_table_value

    def as_it_comes(value: Any) -> bytes:
        return value.octets if isinstance(value, _Octets) else encode_value(value)

    monkeypatch.setattr(encode, "encode_table_value", as_it_comes)
    text = _Octets(b"S" + struct.pack(">I", 2) + b"\xff\xfe")
    wide = _Octets(b"d" + struct.pack(">d", 1e300))
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        await publish(deployment, "", PROBES, GARBAGE, {"text": text, "wide": wide, "many": [text, {"wide": wide}]})
        [letter] = await letters(deployment)
        after = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=10"})
    assert after.json()["status"] == "succeeded"
    assert (letter["body"], letter["queue"]) == (GARBAGE, PROBES)
    assert set(letter["headers"]) == {"text", "wide", "many"}


@dataclass(frozen=True)
class _Octets:
    """A field value of a type that our client never writes, as another client would."""

    octets: bytes


async def test_headers_that_fill_their_frame_still_become_a_letter(deployment: Deployment) -> None:
    """With our evidence beside them they would not fit the broker's frame of 128 KiB."""
    headers = {f"filler-{number}": "x" * 10_000 for number in range(13)}
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        await publish(deployment, "", PROBES, GARBAGE, headers)
        [letter] = await letters(deployment)
        after = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=10"})
    assert after.json()["status"] == "succeeded"
    assert letter["body"] == GARBAGE
    assert letter["queue"] == PROBES


async def test_a_command_on_the_queue_of_another_kind_becomes_a_letter_and_its_job_goes_on(
    deployment: Deployment,
) -> None:
    envelope = command(EmbedText)
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        await publish(deployment, "", names.LEDGER, b'{"inputs":["a"]}', envelope.headers())
        await publish(deployment, "", PROBES, b'{"inputs":["a"]}', envelope.headers())
        [letter] = await letters(deployment)
        job = (await client.get(f"/v1/jobs/{envelope.job_id}")).json()
    assert (letter["reason"], letter["queue"], letter["kind"]) == ("undecodable", PROBES, "text.embed")
    assert "text.embed" in letter["error_detail"]
    assert job["status"] == "queued", "the copy on the right queue decides"


async def test_an_unknown_version_ends_its_job_and_keeps_the_bytes(deployment: Deployment) -> None:
    envelope = command(RunProbe, dataschema="urn:millrace:system.probe:99")
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        await publish(deployment, names.COMMANDS, "system.probe", b'{"from":"the future"}', envelope.headers())
        job = await client.get(f"/v1/jobs/{envelope.job_id}", headers={"Prefer": "wait=10"})
        [letter] = await letters(deployment)
    assert (job.json()["status"], job.json()["error"]["type"]) == ("dead", "/problems/undecodable-message")
    assert "system.probe:99" in job.json()["error"]["detail"]
    assert letter["body"] == b'{"from":"the future"}'
    assert letter["headers"]["cloudEvents_dataschema"] == "urn:millrace:system.probe:99"


async def test_a_claim_check_whose_blob_is_missing_or_altered_ends_its_job(deployment: Deployment) -> None:
    blobs = BlobStore(deployment.storage.blobs)
    path, sha256 = await blobs.put(b'{"payload":{"a":1}}')
    wrong = hashlib.sha256(b"something else").hexdigest()
    claims = {
        "missing": {"mr-claim-path": f"sha256/00/{wrong}", "mr-claim-sha256": wrong},
        "altered": {"mr-claim-path": path, "mr-claim-sha256": wrong},
        "outside": {"mr-claim-path": "../../../etc/passwd", "mr-claim-sha256": wrong},
    }
    good = command(RunProbe)
    envelopes = {name: command(RunProbe) for name in claims}
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        for name, claim in claims.items():
            await publish(deployment, names.COMMANDS, "system.probe", b"", envelopes[name].headers() | claim)
        claim = {"mr-claim-path": path, "mr-claim-sha256": sha256}
        await publish(deployment, names.COMMANDS, "system.probe", b"", good.headers() | claim)
        done = await client.get(f"/v1/jobs/{good.job_id}", headers={"Prefer": "wait=10"})
        found = await letters(deployment, 3)

        async def states() -> dict[str, str]:
            async with raw_store(deployment) as store:
                rows = await store["jobs"].find().to_list()
            known = {row["_id"]: row["status"] for row in rows}
            return known if all(known.get(e.job_id) == "dead" for e in envelopes.values()) else {}

        await eventually(states)
    assert done.json()["result"]["payload"] == {"a": 1}
    assert {letter["job_id"] for letter in found} == {envelope.job_id for envelope in envelopes.values()}


async def test_a_job_whose_parameters_are_gone_can_still_be_read(deployment: Deployment) -> None:
    envelope = command(RunProbe)
    wrong = hashlib.sha256(b"gone").hexdigest()
    claim = {"mr-claim-path": f"sha256/00/{wrong}", "mr-claim-sha256": wrong}
    async with running("ledger"), gateway() as client:
        await publish(deployment, "", names.LEDGER, b"", envelope.headers() | claim)
        response = await client.get(f"/v1/jobs/{envelope.job_id}")
    assert response.status_code in (200, 503), response.text


async def test_models_that_may_not_or_cannot_be_used_fail_the_job(subtests: pytest.Subtests) -> None:
    async with running("ledger", "inference"), gateway() as client:
        for model, slug in (
            ("somebody/their-model", "model-not-allowed"),
            ("no-such-model", "model-not-found"),
        ):
            with subtests.test(model):
                response = await client.post(
                    "/v1/inference/embed", json={"inputs": ["a"], "model": model}, headers={"Prefer": "wait=30"}
                )
                job = response.json()
                assert (response.status_code, job["status"], job["attempt"]) == (200, "failed", 1)
                assert job["error"]["type"] == f"/problems/{slug}"
                assert model in job["error"]["detail"]
                page = await client.get(urlsplit(job["error"]["type"]).path)
                assert page.status_code == 200
