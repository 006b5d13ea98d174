"""Which models a worker has, as it tells the roster and the gateway tells everybody."""

from pathlib import Path
from typing import Any

import pytest
from transformers import BertForSequenceClassification

from tests.support.encoders import save, tiny_bert
from tests.support.processes import PoolProcess, gateway, running
from tests.support.waiting import eventually

MODELS = "/v1/inference/models"
TOLD = ("sha256", "bytes", "peak_bytes", "dtype", "device")


@pytest.mark.usefixtures("deployment")
async def test_a_model_is_fetched_and_shown_in_the_memory_of_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_INFERENCE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("MILLRACE_INFERENCE_DEVICE", "cpu")
    save(tiny_bert(BertForSequenceClassification), tmp_path / "models" / "team" / "moods")
    async with running("ledger"), gateway() as client, PoolProcess(tmp_path, "inference"):

        async def fetched(task: str) -> dict[str, Any]:
            asked = {"model": "team/moods", "task": task}
            answer = await client.post(f"{MODELS}/load", json=asked, headers={"Prefer": "wait=25"})
            return dict(answer.json())

        async def shown() -> dict[str, Any] | None:
            found: dict[str, Any] = (await client.get(f"{MODELS}/team/moods")).json()
            return found if found.get("resident") else None

        told = await fetched("classify")
        assert told["status"] == "succeeded", told
        found = await eventually(shown, within_s=20)
        assert found
        (resident,) = found["resident"]
        assert len(found["present"]) == 1
        assert {name: resident[name] for name in TOLD} == {name: told["result"][name] for name in TOLD}
        assert (resident["kind"], resident["uses"], resident["in_use"]) == ("text.classify", 1, 0)
        listed = (await client.get(MODELS)).json()
        assert [each["name"] for each in listed["items"]] == ["all-minilm-l6-v2", "team/moods"]
        assert listed["allowed"] == ["./*", "all-minilm-l6-v2"]
        wrong = {"kind": "model.fetch", "params": {"model": "team/moods", "task": "qa"}}
        refused = (await client.post("/v1/jobs", json=wrong, headers={"Prefer": "wait=25"})).json()
        assert (refused["status"], refused["error"]["type"]) == ("failed", "/problems/model-unsupported")
        assert (await client.get(f"{MODELS}/nobody")).status_code == 404
        assert (await fetched("guess"))["errors"][0]["pointer"] == "/task"
