"""From a dataset to a model, through the broker: killed, finished early, cancelled, and held to its memory."""

import io
import os
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sklearn import datasets

from consumers.learning.model import TrainedModel
from storage import plugins
from storage.blob_writers import blob_path
from storage.database import connect
from tests.conftest import Deployment
from tests.support.processes import PoolProcess, gateway, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")

WAIT = {"Prefer": "wait=60"}


@pytest.fixture(autouse=True)
def modest(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and a checkpoint wherever there can be one."""
    monkeypatch.setenv("MILLRACE_TRAINING_THREADS", "1")
    monkeypatch.setenv("MILLRACE_TRAINING_CHECKPOINT_S", "0")
    monkeypatch.setenv("MILLRACE_TRAINING_IMPORTANCES_S", "0")
    monkeypatch.setenv("MILLRACE_LEASE_S", "1.5")


async def uploaded(client: httpx.AsyncClient) -> dict[str, Any]:
    """Wine, with the names of its cultivars."""
    bunch = datasets.load_wine(as_frame=True)
    frame = bunch.frame.assign(target=[str(bunch.target_names[each]) for each in bunch.target])
    content = io.StringIO()
    frame.to_csv(content, index=False)
    answer = await client.put("/v1/datasets/wine", content=content.getvalue().encode(), headers=WAIT)
    assert answer.json()["status"] == "succeeded", answer.text
    return dict(answer.json()["result"])


async def asked(client: httpx.AsyncClient, version: dict[str, Any], **params: Any) -> str:
    told = {"name": "cultivars", "dataset_id": version["dataset_id"], "version": version["version"], **params}
    answer = await client.post("/v1/jobs", json={"kind": "model.train", "params": {"target": "target", **told}})
    assert answer.status_code == 202, answer.text
    return str(answer.headers["location"])


async def job(client: httpx.AsyncClient, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return dict((await client.get(url, headers=headers or {})).json())


async def at_trial(client: httpx.AsyncClient, url: str, number: int) -> dict[str, Any]:
    async def there() -> dict[str, Any]:
        found = await job(client, url)
        assert found["status"] in ("queued", "running"), found
        told = re.match(r"trial (\d+),", found["progress"]["message"] if found["progress"] else "")
        return found if told and int(told[1]) >= number else {}

    return await eventually(there, within_s=60)


def stored(deployment: Deployment, result: dict[str, Any], part: str) -> Path:
    folder = Path(deployment.environment["BLOB_URL"].removeprefix("file://"))
    return folder / blob_path(result["artifacts"][part]["sha256"])


async def test_killed_worker_and_child_leave_the_model_that_they_would_have_made(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with running("ledger", "ingestion", "reaper"), gateway() as client:
        version = await uploaded(client)
        params = {"trainer": "auto", "max_trials": 8, "budget_s": 600, "split": {"folds": 2}}
        async with PoolProcess(tmp_path / "first", "training") as worker:
            undisturbed = await job(client, await asked(client, version, **params), WAIT)
            assert undisturbed["status"] == "succeeded", undisturbed["error"]
            url = await asked(client, version, **params)
            await at_trial(client, url, 3)
            [child] = psutil.Process(worker.pid).children()
            os.kill(child.pid, signal.SIGKILL)  # an attempt that failed: the next goes on
            await at_trial(client, url, 5)
            await worker.kill_alone()
        async with PoolProcess(tmp_path / "second", "training"):
            ended = await job(client, url, WAIT)
        async with connect(deployment.storage) as database:
            names = [each.name for each in await plugins.announced(database)]
    assert ended["status"] == "succeeded", ended["error"]
    result, expected = ended["result"], undisturbed["result"]
    assert result["artifacts"]["model"] == expected["artifacts"]["model"], "bit for bit"
    assert result["version"] != expected["version"]
    assert (result["trials"], result["task"], result["metric"]) == (8, "multiclass", "log-loss")
    assert result["estimated_by"] == "cross-validation"
    assert result["metrics"]["accuracy"] > 0.9 > result["baseline"]["accuracy"]
    model = TrainedModel.load(stored(deployment, result, "model"))
    assert model.signature.classes == ["class_0", "class_1", "class_2"]
    assert "Model card" in stored(deployment, result, "page").read_text()
    assert {"hist-gradient-boosting", "log-loss", "numbers"} <= set(names)


async def test_a_search_that_is_finished_early_succeeds_with_its_best(tmp_path: Path) -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        version = await uploaded(client)
        probe = await client.post("/v1/jobs", json={"kind": "system.probe", "params": {}})
        refused = await client.post(f"{probe.headers['location']}/finish")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/cannot-finish-early")
        url = await asked(client, version, budget_s=3_600, split={"folds": 2})
        waiting = await client.post(f"{url}/finish")
        assert waiting.status_code == 409, "it waits for a worker"
        async with PoolProcess(tmp_path, "training"):
            seen = await at_trial(client, url, 3)
            assert seen["progress"]["eta_s"] > 3_000
            assert (await client.post(f"{url}/finish")).status_code == 202
            ended = await job(client, url, WAIT)
        assert ended["status"] == "succeeded", ended["error"]
        assert ended["result"]["trials"] >= 2
        assert (await client.post(f"{url}/finish")).status_code == 200


async def test_a_cancelled_training_ends_with_its_child(tmp_path: Path) -> None:
    async with running("ledger", "ingestion"), gateway() as client, PoolProcess(tmp_path, "training") as worker:
        url = await asked(client, await uploaded(client), budget_s=3_600)
        await at_trial(client, url, 1)
        assert (await client.post(f"{url}/cancel")).json()["status"] == "cancelled"

        async def gone() -> bool:
            return not psutil.Process(worker.pid).children(recursive=True)

        await eventually(gone, within_s=20)


async def test_what_cannot_be_trained_fails_and_names_the_parameter(tmp_path: Path) -> None:
    async with running("ledger", "ingestion"), gateway() as client, PoolProcess(tmp_path, "training"):
        version = await uploaded(client)
        absent = await asked(client, {**version, "version": "0" * 12})
        small = await asked(client, version, memory_mb=256)
        for url, pointer, problem in ((absent, "version", "not-found"), (small, "memory_mb", "invalid-input")):
            ended = await job(client, url, WAIT)
            assert (ended["status"], ended["error"]["type"]) == ("failed", f"/problems/{problem}")
            assert ended["error"]["detail"].startswith(f"/params/{pointer}: "), ended["error"]
