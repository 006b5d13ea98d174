"""What the gateway promises its clients, beside the path of a job."""

import asyncio
import re
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.servers import Servers
from tests.support.wire import is_drained

pytestmark = pytest.mark.usefixtures("deployment")

PROBE = {"kind": "system.probe"}
WAIT = {"Prefer": "wait=10"}


async def test_an_accepted_job_is_described_in_full() -> None:
    async with gateway() as client:
        response = await client.post("/v1/jobs", json={"kind": "system.probe", "params": {"payload": {"a": [1]}}})
    job = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert int(response.headers["retry-after"]) >= 1
    assert re.fullmatch(r"[0-9a-f]{32}", job["id"])
    assert job["params"] == {"payload": {"a": [1]}, "delay_s": 0, "failure": "none", "fail_attempts": 4095}
    assert (job["kind"], job["status"], job["principal"]) == ("system.probe", "queued", "operator")
    assert (job["attempt"], job["generation"]) == (1, 0)
    assert [job[name] for name in ("started_at", "finished_at", "progress", "result", "error")] == [None] * 5
    assert datetime.fromisoformat(job["created_at"]).tzinfo is not None
    assert job["links"]["events"] == f"/v1/jobs/{job['id']}/events"


async def test_both_prefixes_are_the_same_api() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        job = (await client.post("/api/v1/jobs", json=PROBE, headers=WAIT)).json()
        assert (await client.get(f"/api/v1/jobs/{job['id']}")).json() == job
        assert (await client.get(f"/v1/jobs/{job['id']}")).json() == job
        assert (await client.get("/api/v1/kinds")).json() == (await client.get("/v1/kinds")).json()


async def test_an_etag_spares_the_body_until_the_job_changes() -> None:
    async with gateway() as client:
        accepted = await client.post("/v1/jobs", json={"kind": "system.probe"})
        url = accepted.headers["location"]
        async with running("ledger"):
            queued = await client.get(url)
            known = {"If-None-Match": queued.headers["etag"]}
            unchanged = await client.get(url, headers=known)
        async with running("ledger", "diagnostics"):
            ended = await client.get(url, headers=WAIT | known)
        still = await client.get(url, headers={"If-None-Match": f'"1", W/{ended.headers["etag"]}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == queued.headers["etag"]
    assert (ended.status_code, ended.json()["status"]) == (200, "succeeded")
    assert ended.headers["etag"] != queued.headers["etag"]
    assert still.status_code == 304


async def test_waiting_ends_with_the_job() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        posted = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "respond-async, wait=10"})
        running_job = await client.post("/v1/jobs", json={"kind": "system.probe", "params": {"delay_s": 0.5}})
        got = await client.get(running_job.headers["location"], headers=WAIT)
        again = await client.get(running_job.headers["location"], headers=WAIT)
    for response in (posted, got, again):
        assert (response.status_code, response.json()["status"]) == (200, "succeeded")
        assert response.headers["preference-applied"] == "wait=10"
    assert posted.headers["location"] == f"/v1/jobs/{posted.json()['id']}"


async def test_a_wait_that_expires_answers_with_the_job_as_it_is() -> None:
    async with running("ledger"), gateway(max_wait_s=0.2) as client:
        posted = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=60"})
        got = await client.get(posted.headers["location"], headers={"Prefer": 'wait="60"'})
        at_once = await client.post("/v1/jobs", json=PROBE, headers={"Prefer": "wait=0"})
    for response in (posted, got):
        assert (response.status_code, response.json()["status"]) == (200, "queued")
        assert response.headers["preference-applied"] == "wait=0.2", "the longest that this gateway waits"
    assert at_once.status_code == 202


async def test_a_wait_without_a_ledger_still_answers_with_the_job() -> None:
    async with gateway(max_wait_s=0.2) as client:
        posted = await client.post("/v1/jobs", json=PROBE, headers=WAIT)
    assert (posted.status_code, posted.json()["status"]) == (200, "queued")


@pytest.mark.slow
async def test_a_wait_is_no_error_while_the_store_is_away(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE_TIMEOUT_S", "0.5")
    async with gateway(max_wait_s=0.2) as client:
        await servers.store.kill()
        try:
            posted = await client.post("/v1/jobs", json=PROBE, headers=WAIT)
            keyed = await client.post("/v1/jobs", json=PROBE, headers={"Idempotency-Key": uuid4().hex})
            read = await client.get(posted.headers.get("location", "/v1/jobs/none"))
        finally:
            await servers.store.start()
    assert (posted.status_code, posted.json()["status"]) == (200, "queued"), "the broker has it: it was accepted"
    assert keyed.status_code == 202, keyed.text
    assert (read.status_code, read.json()["type"]) == (503, "/problems/store-unavailable")
    assert int(read.headers["retry-after"]) >= 1


async def submit_one_by_one(client: httpx.AsyncClient, count: int) -> list[str]:
    """Their ids, oldest first."""
    return [(await client.post("/v1/jobs", json=PROBE, headers=WAIT)).json()["id"] for _ in range(count)]


async def pages(client: httpx.AsyncClient, url: str) -> list[list[str]]:
    found = []
    following: str | None = url
    while following:
        page = (await client.get(following)).json()
        found.append([job["id"] for job in page["items"]])
        following = page["next"]
    return found


async def test_pages_are_newest_first_and_stable_while_jobs_are_added() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        ids = await submit_one_by_one(client, 7)
        first = (await client.get("/v1/jobs?limit=3")).json()
        later = await submit_one_by_one(client, 2)
        rest = await pages(client, first["next"])
        everything = await pages(client, "/v1/jobs?limit=200")
        exact = await pages(client, "/v1/jobs?limit=9")
    newest_first = ids[::-1]
    assert [job["id"] for job in first["items"]] == newest_first[:3]
    assert rest == [newest_first[3:6], newest_first[6:]]
    assert everything == exact == [(ids + later)[::-1]]


async def test_a_list_shows_jobs_without_their_parameters_and_results() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        await submit_one_by_one(client, 1)
        [listed] = (await client.get("/v1/jobs")).json()["items"]
        one = (await client.get(listed["links"]["self"])).json()
    assert one == listed | {"params": one["params"], "result": one["result"]}


async def test_every_filter_filters(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        ok = (await client.post("/v1/jobs", json=PROBE, headers=WAIT)).json()
        failing = {"kind": "system.probe", "params": {"failure": "reject"}}
        failed = (await client.post("/v1/jobs", json=failing, headers=WAIT)).json()
        embed = await client.post("/v1/jobs", json={"kind": "text.embed", "params": {"inputs": ["a"]}})
        waiting = (await client.get(embed.headers["location"])).json()
        await client.get(embed.headers["location"], headers={"Prefer": "wait=1"})  # until the store has it

        async def listed(**params: str) -> list[str]:
            return [job["id"] for job in (await client.get("/v1/jobs", params=params)).json()["items"]]

        assert await listed() == [waiting["id"], failed["id"], ok["id"]]
        assert await listed(status="queued") == [waiting["id"]]
        assert await listed(status="failed") == [failed["id"]]
        assert await listed(status="dead") == []
        assert await listed(kind="system.probe") == [failed["id"], ok["id"]]
        assert await listed(kind="system.probe", status="succeeded") == [ok["id"]]
        assert await listed(kind="no.such.kind") == []
        assert await listed(created_after=ok["created_at"]) == [waiting["id"], failed["id"]]
        assert await listed(created_after=waiting["created_at"]) == []
        assert await listed(created_after=failed["created_at"], kind="text.embed") == [waiting["id"]]
        filtered = f"/v1/jobs?limit=1&kind=system.probe&created_after={quote('2020-01-01T00:00:00+01:00')}"
        assert await pages(client, filtered) == [[failed["id"]], [ok["id"]]]


async def test_kinds_are_described_by_their_schemas() -> None:
    async with gateway() as client:
        found = {kind["kind"]: kind for kind in (await client.get("/v1/kinds")).json()}
    embed = found["text.embed"]
    assert embed["summary"].endswith(".")
    assert embed["params_schema"]["properties"]["inputs"]["minItems"] == 1
    assert "outputs" in embed["result_schema"]["properties"]
    assert embed["max_attempts"] >= 1


async def test_request_ids_are_echoed_or_made() -> None:
    async with gateway() as client:
        given = await client.post("/v1/jobs", json=PROBE, headers={"X-Request-ID": "order-7/a"})
        made = [(await client.get("/health/liveness")).headers["x-request-id"] for _ in range(2)]
        for unusable in ("", "two words", "x" * 129):
            answered = await client.get("/nowhere", headers={"X-Request-ID": unusable})
            assert re.fullmatch(r"[0-9a-f]{32}", answered.headers["x-request-id"])
    assert given.headers["x-request-id"] == "order-7/a"
    assert made[0] != made[1]


async def test_a_trace_goes_on_or_begins() -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with gateway() as client:
        joined = (
            await client.get("/health/liveness", headers={"traceparent": f"00-{trace_id}-{span_id}-01"})
        ).headers["traceparent"]
        begun = (await client.get("/health/liveness")).headers["traceparent"]
        broken = (
            await client.get("/health/liveness", headers={"traceparent": f"00-{'0' * 32}-{span_id}-01"})
        ).headers
    assert re.fullmatch(rf"00-{trace_id}-[0-9a-f]{{16}}-01", joined)
    assert span_id not in joined
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", begun)
    assert "0" * 32 not in broken["traceparent"]


async def test_pages_of_allowed_origins_may_call() -> None:
    asked = {
        "Origin": "https://lab.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key, idempotency-key, prefer",
    }
    async with gateway(cors_origins="https://lab.example, https://other.example") as client:
        preflight = await client.options("/v1/jobs", headers=asked)
        posted = await client.post("/v1/jobs", json=PROBE, headers={"Origin": "https://lab.example"})
        stranger = await client.options("/v1/jobs", headers=asked | {"Origin": "https://evil.example"})
    async with gateway() as client:
        closed = await client.options("/v1/jobs", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://lab.example"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "idempotency-key" in preflight.headers["access-control-allow-headers"].lower()
    exposed = posted.headers["access-control-expose-headers"].lower()
    assert {"location", "etag", "retry-after", "x-request-id"} <= set(exposed.split(", "))
    assert posted.headers["access-control-allow-origin"] == "https://lab.example"
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-origin" not in closed.headers


OPEN = {
    "/health": "application/json",
    "/health/ready": "application/json",
    "/health/liveness": "application/json",
    "/health/db": "application/json",
    "/metrics": "text/plain",
    "/docs": "text/html",
    "/openapi.json": "application/json",
    "/asyncapi": "text/html",
    "/asyncapi.json": "application/json",
    "/problems": "text/html",
}


async def test_documents_and_health_need_no_key_and_no_network(subtests: pytest.Subtests) -> None:
    async with gateway() as client:
        del client.headers["X-API-Key"]
        for path, media_type in OPEN.items():
            with subtests.test(path):
                response = await client.get(path)
                assert response.status_code == 200
                assert response.headers["content-type"].startswith(media_type)
                if media_type == "text/html":
                    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", response.text)
                    for link in re.findall(r"""<(?:script|link)[^>]*(?:src|href)=["']([^"']+)""", response.text):
                        assert (await client.get(link)).status_code == 200, link


async def test_the_documents_describe_this_api() -> None:
    async with gateway() as client:
        openapi = (await client.get("/openapi.json")).json()
        asyncapi = (await client.get("/asyncapi.json")).json()
    assert openapi["openapi"].startswith("3.")
    assert {"get", "post"} <= set(openapi["paths"]["/v1/jobs"])
    assert set(openapi["components"]["securitySchemes"]) == {"APIKeyHeader", "HTTPBearer"}
    responses = openapi["paths"]["/v1/jobs"]["post"]["responses"]
    assert {"202", "401", "413", "415", "422", "503"} <= set(responses)
    assert "application/problem+json" in responses["422"]["content"]
    assert asyncapi["asyncapi"].startswith("3.")


async def test_health_tells_what_is_away(servers: Servers) -> None:
    async with running("ledger"), gateway() as client:
        well = await client.get("/health/ready")
        await servers.redis.kill()
        try:
            slower = await client.get("/health/ready")
        finally:
            await servers.redis.start()
        again = await client.get("/health/ready")
    assert (well.status_code, well.json()["status"]) == (200, "ok")
    assert (slower.status_code, slower.json()["status"]) == (200, "degraded")
    assert slower.json()["dependencies"] == {"broker": "ok", "store": "ok", "redis": "away", "ledger": "ok"}
    assert (again.status_code, again.json()["status"]) == (200, "ok")


async def test_an_embedding_is_what_the_model_says() -> None:
    texts = ["The mill race runs dry in August.", "Wasser treibt das Rad.", "a"]
    async with running("ledger", "inference"), gateway() as client:
        response = await client.post(
            "/v1/inference/embed", json={"inputs": texts}, headers={"Prefer": "wait=60"}, timeout=90
        )
    job = response.json()
    assert (response.status_code, job["kind"], job["status"]) == (200, "text.embed", "succeeded"), response.text
    outputs = job["result"]["outputs"]
    expected = await asyncio.to_thread(_reference, texts)
    assert [len(vector) for vector in outputs] == [384] * 3
    assert [sum(x * x for x in vector) for vector in outputs] == pytest.approx([1.0] * 3, abs=1e-5)
    for vector, reference in zip(outputs, expected, strict=True):
        assert vector == pytest.approx(reference, abs=1e-3)
    assert job["result"]["truncated"] == 0
    assert job["result"]["model"]["dimensions"] == 384


def _reference(texts: list[str]) -> Any:
    """Mean pooling over the tokens, then unit length: the model card's recipe, in float32 and without batching."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from consumers.encoders.sources import find_model
    from consumers.inference.settings import InferenceSettings
    from schemas.texts import DEFAULT_MODEL

    path = find_model(DEFAULT_MODEL, InferenceSettings()).path
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path, dtype=torch.float32)
    found = []
    with torch.no_grad():
        for text in texts:
            hidden = model.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            mean = hidden.mean(dim=0)
            found.append((mean / mean.norm()).tolist())
    return found


async def test_a_refused_request_leaves_nothing_behind(deployment: Deployment) -> None:
    async with gateway() as client:
        assert (await client.post("/v1/jobs", json={"kind": "system.probe", "params": 1})).status_code == 422
    assert await is_drained(deployment, "mr.work.system.probe")
    assert await is_drained(deployment, "mr.ledger")
