"""One request can be followed from its first log line to its last, and every process counts what it does."""

import json
from pathlib import Path

import httpx
import pytest
import structlog
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from telemetry import metrics
from tests.conftest import Deployment
from tests.support.processes import PoolProcess, gateway, running

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {
    "X-Request-ID": "order-7",
    "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01",
    "Prefer": "wait=20",
}


async def test_the_log_lines_of_a_job_carry_the_ids_of_its_request(deployment: Deployment, tmp_path: Path) -> None:
    failing = {"kind": "system.probe", "params": {"failure": "error", "fail_attempts": 1}}
    async with running("ledger"), PoolProcess(tmp_path, "diagnostics") as worker, gateway() as client:
        with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as gateway_log:
            job = (await client.post("/v1/jobs", json=failing, headers=HEADERS)).json()
        log = await worker.log()
    assert job["status"] == "succeeded"
    [failed] = [line for line in log if line["event"] == "handler_raised"]
    [finished] = [line for line in log if line["event"] == "job_finished"]
    for line, attempt in ((failed, 1), (finished, 2)):
        assert (line["request_id"], line["trace_id"]) == ("order-7", TRACE_ID)
        assert (line["job_id"], line["kind"], line["attempt"]) == (job["id"], "system.probe", attempt)
        assert line["process"] == "diagnostics"
        assert line["level"]
        assert line["timestamp"]
    assert "ProbeFailed" in str(failed["exception"])
    [request] = [line for line in gateway_log if line["event"] == "request"]
    assert (request["request_id"], request["trace_id"]) == ("order-7", TRACE_ID)
    assert (request["method"], request["path"], request["status"]) == ("POST", "/v1/jobs", 200)
    for text in (tmp_path / "diagnostics.log").read_text().splitlines():
        assert json.loads(text)["event"], "nothing but JSON lines"


async def test_every_process_exports_the_whole_list(deployment: Deployment, tmp_path: Path) -> None:
    listed = {value._name for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)}
    async with running("ledger"), PoolProcess(tmp_path, "diagnostics") as worker, gateway() as client:
        await client.post("/v1/jobs", json={"kind": "system.probe"}, headers=HEADERS)
        ours = (await client.get("/metrics")).text
        async with httpx.AsyncClient(trust_env=False) as plain:
            theirs = (await plain.get(f"http://127.0.0.1:{worker.port}/metrics")).text
    for text in (ours, theirs):
        families = {family.name: family for family in text_string_to_metric_families(text)}
        exported = {name for name in families if name.startswith("millrace_")}
        assert {name for name in exported if not name.endswith("_created")} == listed
    assert sample(theirs, "millrace_outcomes_total", kind="system.probe", state="succeeded") == 1
    assert sample(theirs, "millrace_run_seconds_count", kind="system.probe") == 1
    assert sample(theirs, "millrace_in_flight", kind="system.probe") == 0
    assert sample(ours, "millrace_jobs_accepted_total", kind="system.probe") >= 1
    assert sample(ours, "millrace_http_request_seconds_count", method="POST", route="/v1/jobs", status="200") >= 1


async def test_labels_never_hold_what_a_client_made_up(deployment: Deployment) -> None:
    async with gateway() as client:
        await client.get("/no/such/path/7f3a")
        await client.get(f"/v1/jobs/{'ab' * 16}")
        await client.request("BREW", "/v1/jobs")
        await client.post("/v1/jobs", json={"kind": "made.up.kind"})
        text = (await client.get("/metrics")).text
    for made_up in ("7f3a", "ab" * 16, "made.up", "BREW"):
        assert made_up not in text
    assert sample(text, "millrace_http_request_seconds_count", method="GET", route="unmatched", status="404") >= 1


async def test_the_lines_of_one_request_do_not_leak_into_the_next(deployment: Deployment) -> None:
    async with gateway() as client:
        with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as log:
            await client.get("/health/liveness", headers={"X-Request-ID": "first"})
            await client.get("/health/liveness", headers={"X-Request-ID": "second"})
    assert [line["request_id"] for line in log] == ["first", "second"]
    assert log[0]["trace_id"] != log[1]["trace_id"]
    assert "request_id" not in structlog.contextvars.get_contextvars()


def sample(text: str, name: str, **labels: str) -> float:
    found = [
        one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == name and one.labels == labels
    ]
    assert found, f"no {name} {labels}"
    return float(found[0])


async def test_a_fault_of_the_gateway_is_a_problem_with_the_ids_of_its_request(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("storage.jobs.page", fail)
    async with gateway() as client:
        answer = await client.get("/v1/jobs", headers={"X-Request-ID": "request-500"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["instance"] == "request-500"
    assert "traceparent" in answer.headers
