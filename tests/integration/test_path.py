"""The path of one job, through every part, in each of its fates."""

from typing import Any

import httpx
import pytest

from storage import jobs
from storage.database import open_database
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")


async def probe(client: httpx.AsyncClient, wait_s: int = 20, **params: Any) -> dict[str, Any]:
    response = await client.post(
        "/v1/jobs", json={"kind": "system.probe", "params": params}, headers={"Prefer": f"wait={wait_s}"}
    )
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_a_job_succeeds_and_is_stored(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        job = await probe(client, payload={"answer": 42})
    assert job["status"] == "succeeded"
    assert job["result"]["payload"] == {"answer": 42}
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    async with open_database(deployment.storage):
        stored = await jobs.get(job["id"])
    assert stored is not None
    assert (stored.status, stored.result) == (job["status"], job["result"])


async def test_a_rejected_job_fails_without_retry_or_dead_letter(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        job = await probe(client, failure="reject")
    assert (job["status"], job["attempt"], job["error"]["type"]) == ("failed", 1, "/problems/invalid-input")
    async with open_database(deployment.storage) as database:
        assert await database["dead_letters"].count_documents({}) == 0


async def test_a_failing_attempt_is_retried_after_its_tier() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        job = await probe(client, failure="error", fail_attempts=1)
    assert (job["status"], job["attempt"], job["error"]) == ("succeeded", 2, None)


@pytest.mark.slow
async def test_an_exhausted_job_dies_and_leaves_a_letter(deployment: Deployment) -> None:
    async with running("ledger", "diagnostics", "dead_letters"), gateway() as client:
        job = await probe(client, wait_s=60, failure="error")
        async with open_database(deployment.storage) as database:
            letter = await database["dead_letters"].find_one({"job_id": job["id"]})
    assert (job["status"], job["attempt"]) == ("dead", 5)
    assert job["error"]["type"] == "/problems/attempts-exhausted"
    assert letter is not None
    assert letter["error_type"] == "ProbeFailed"
    assert letter["fingerprint"] == job["error"]["fingerprint"]
    assert "system_probe" in str(letter["traceback"])


async def test_large_parameters_and_results_travel_by_claim_check(deployment: Deployment) -> None:
    text = "ü" * 300_000
    async with running("ledger", "diagnostics"), gateway() as client:
        job = await probe(client, payload={"text": text})
        again = (await client.get(f"/v1/jobs/{job['id']}")).json()
        async with open_database(deployment.storage):
            stored = await jobs.get(job["id"])
    assert job["params"]["payload"]["text"] == job["result"]["payload"]["text"] == text
    assert again == job
    assert stored is not None
    assert stored.params is None
    assert stored.result is None


async def test_a_missed_deadline_aborts_the_job() -> None:
    async with gateway() as client:
        accepted = await client.post("/v1/jobs", json={"kind": "system.probe"}, headers={"Cancel-After": "0s"})
        async with running("ledger", "diagnostics"):
            job = await client.get(f"/v1/jobs/{accepted.json()['id']}", headers={"Prefer": "wait=10"})
    assert (job.json()["status"], job.json()["started_at"]) == ("aborted", None)


async def test_a_job_is_accepted_while_no_consumer_runs() -> None:
    async with gateway() as client:
        accepted = await client.post("/v1/jobs", json={"kind": "system.probe"})
        assert accepted.status_code == 202
        async with running("ledger", "diagnostics"):
            job = await client.get(f"/v1/jobs/{accepted.json()['id']}", headers={"Prefer": "wait=10"})
    assert job.json()["status"] == "succeeded"


async def test_a_running_job_is_seen_running() -> None:
    async with running("ledger", "diagnostics"), gateway() as client:
        accepted = await client.post("/v1/jobs", json={"kind": "system.probe", "params": {"delay_s": 1}})

        async def is_running() -> bool:
            found = await client.get(f"/v1/jobs/{accepted.json()['id']}")
            return bool(found.json()["status"] == "running")

        await eventually(is_running, within_s=5)
