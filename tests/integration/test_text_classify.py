"""Texts through broker and pool to what models say of them: of a directory, and of a model in the registry."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from consumers.learning.model import TrainedModel
from consumers.learning.rows import frame_of
from schemas.files import StoredFile
from schemas.jobs.model_train import ModelTrained
from schemas.learning import LearningTask, Lineage, Signature
from storage.blob_writers import blob_path
from storage.blobs import BlobStore
from tests.conftest import Deployment
from tests.support.encoders import save, tiny_bert
from tests.support.learned import CLASSES, TARGET, TEXTS, member, saved, trained
from tests.support.processes import gateway, running
from tests.support.wire import raw_store

MODEL_ID = "a" * 32
FIRST, SECOND = "1" * 12, "2" * 12


async def register(deployment: Deployment, principal: str, name: str, *contents: bytes) -> None:
    """Versions of a model as the ledger leaves them, the first of which is the champion."""
    now = datetime.now(UTC)
    documents = [
        {
            "_id": f"{MODEL_ID}.{version}",
            "model_id": MODEL_ID,
            "version": version,
            "number": number,
            "principal": principal,
            "trained": await _result(deployment, name, version, content),
        }
        for number, (version, content) in enumerate(zip((FIRST, SECOND), contents, strict=True), 1)
    ]
    model = {"principal": principal, "name": name, "latest": SECOND, "aliases": {"champion": FIRST}}
    async with raw_store(deployment) as store:
        await store["models"].insert_one({"_id": MODEL_ID, "updated_at": now, "deleted_at": None, **model})
        await store["model_versions"].insert_many(documents)


async def _result(deployment: Deployment, name: str, version: str, content: bytes) -> dict[str, Any]:
    _, sha256 = await BlobStore(deployment.storage.blobs).put(content)
    return ModelTrained(
        model_id=MODEL_ID,
        name=name,
        version=version,
        task=LearningTask.TEXT_CLASSIFICATION,
        metric="accuracy",
        metrics={},
        baseline={},
        estimated_by="holdout",
        best_trainer="transformer",
        trials=1,
        signature=Signature(inputs=[], target="element", task=LearningTask.TEXT_CLASSIFICATION),
        origin=Lineage(
            dataset_id="d" * 32, dataset_name="texts", dataset_version=version, table_sha256="0" * 64,
            rows=len(TEXTS), job_id="e" * 32, code_version="0", seed=0,
        ),
        artifacts={"model": StoredFile(sha256=sha256, bytes=len(content))},
        warnings=[],
    ).model_dump(mode="json")  # fmt: skip


async def classify(client: httpx.AsyncClient, model: str, **options: Any) -> dict[str, Any]:
    body = {"model": model, "inputs": TEXTS, "options": options}
    response = await client.post("/v1/inference/classify", json=body, headers={"Prefer": "wait=60"}, timeout=90)
    job: dict[str, Any] = response.json()
    assert (response.status_code, job["kind"]) == (200, "text.classify"), response.text
    return job


async def test_a_fine_tuned_model_answers_its_owner(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    models = tmp_path / "models"
    monkeypatch.setenv("MILLRACE_INFERENCE_MODELS_DIR", str(models))
    save(tiny_bert(), models / "base")
    fine_tuned = await asyncio.to_thread(member, "transformer", base_model="base", epochs=1)
    by_words = await asyncio.to_thread(member, "tfidf-linear")
    contents = [saved(trained(each), tmp_path) for each in (fine_tuned, by_words)]
    async with running("ledger", "inference"), gateway() as client:
        principal = (await client.post("/v1/jobs", json={"kind": "system.probe"})).json()["principal"]
        await register(deployment, principal, "elements", *contents)
        for asked, version in (
            ("registry:elements", FIRST),
            ("registry:elements@champion", FIRST),
            (f"registry:elements@{SECOND}", SECOND),
            ("registry:elements@2", SECOND),
        ):
            with subtests.test(asked):
                job = await classify(client, asked)
                assert job["status"] == "succeeded", job["error"]
                assert job["result"]["model"]["name"] == f"registry:elements@{version}"
                assert {score["label"] for score in job["result"]["outputs"][0]} == {"water", "fire"}
        with subtests.test("another's"):
            async with raw_store(deployment) as store:
                await store["models"].update_many({}, {"$set": {"principal": "somebody else"}})
            job = await classify(client, "registry:elements")
            assert (job["status"], job["error"]["type"]) == ("failed", "/problems/model-not-found")


async def test_what_was_trained_over_http_answers_as_it_did_where_it_was_trained(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tiny_bert(), tmp_path / "models" / "base")
    monkeypatch.setenv("MILLRACE_INFERENCE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("MILLRACE_TRAINING_IMPORTANCES_S", "0")
    lines = [json.dumps({"text": text, "element": CLASSES[at]}) for text, at in zip(TEXTS, TARGET, strict=True)]
    content = "\n".join(lines * 2).encode()
    async with running("ledger", "ingestion", "training", "inference"), gateway() as client:
        answer = await client.put("/v1/datasets/elements.jsonl", content=content, headers={"Prefer": "wait=60"})
        dataset = answer.json()["result"]
        params = {
            "name": "trained-elements", "dataset_id": dataset["dataset_id"], "version": dataset["version"],
            "target": "element", "task": "text-classification", "trainer": "transformer", "split": {"folds": 2},
            "config": {"base_model": "base", "epochs": 4, "learning_rate": 5e-3, "frozen_layers": 0},
        }  # fmt: skip
        body = {"kind": "model.train", "params": params}
        answer = await client.post("/v1/jobs", json=body, headers={"Prefer": "wait=60"}, timeout=90)
        assert answer.json()["status"] == "succeeded", answer.text
        made = answer.json()["result"]
        pointed = await client.put(
            f"/v1/models/{made['model_id']}/aliases/champion", json={"version": made["version"]}
        )
        assert pointed.is_success, pointed.text
        jobs = [await classify(client, f"registry:trained-elements{at}") for at in ("", "@champion")]
    file = await BlobStore(deployment.storage.blobs).get(
        blob_path(made["artifacts"]["model"]["sha256"]), made["artifacts"]["model"]["sha256"]
    )
    (tmp_path / "model").write_bytes(file)
    model = TrainedModel.load(tmp_path / "model")
    said = model.predict(frame_of([{"text": text} for text in TEXTS], model.signature))
    assert said.probabilities is not None
    for job in jobs:
        assert job["status"] == "succeeded", job["error"]
        assert job["result"]["model"]["name"] == f"registry:trained-elements@{made['version']}"
        outputs = job["result"]["outputs"]
        assert [output[0]["label"] for output in outputs] == said.values
        scores = [output[0]["score"] for output in outputs]
        assert scores == pytest.approx(said.probabilities.max(axis=1).tolist(), abs=1e-5)


async def test_a_directory_answers_everybody(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForSequenceClassification, BertForTokenClassification

    save(tiny_bert(BertForSequenceClassification, id2label={0: "calm", 1: "wild"}), tmp_path / "models" / "moods")
    save(tiny_bert(BertForTokenClassification, id2label={0: "B-a", 1: "I-a"}), tmp_path / "models" / "names")
    async with running("ledger", "inference"), gateway() as client:
        job = await classify(client, "moods", top_k=1)
        body = {"model": "names", "inputs": TEXTS, "options": {"aggregation": "first"}}
        response = await client.post("/v1/inference/ner", json=body, headers={"Prefer": "wait=60"}, timeout=90)
        missing = await classify(client, "registry:nothing")
        wrong = await client.post("/v1/inference/classify", json={"model": "registry:../x", "inputs": ["a"]})
    assert job["status"] == "succeeded", job["error"]
    assert [len(output) for output in job["result"]["outputs"]] == [1] * len(TEXTS)
    tagged = response.json()
    assert (tagged["kind"], tagged["status"]) == ("text.ner", "succeeded"), tagged
    for text, found in zip(TEXTS, tagged["result"]["outputs"], strict=True):
        assert found
        assert all(each["text"] == text[each["start"] : each["end"]] for each in found)
    assert (missing["status"], missing["error"]["type"]) == ("failed", "/problems/model-not-found")
    assert "no model of yours" in missing["error"]["detail"]
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/model")


ASKED: list[tuple[str, dict[str, Any], list[Any]]] = [
    (
        "text.zero-shot",
        {"inputs": TEXTS, "candidate_labels": ["water", "fire"], "options": {"multi_label": True}},
        ["/candidate_labels", {"candidate_labels": ["water", "water"]}],
    ),
    (
        "text.qa",
        {"inputs": [{"question": "What burns?", "context": text} for text in TEXTS], "options": {"top_k": 2}},
        ["/inputs/0/context", {"inputs": [{"question": "What?", "context": " "}]}],
    ),
    (
        "text.fill-mask",
        {"inputs": [f"{text} [MASK]" for text in TEXTS], "options": {"targets": ["water", "fire"]}},
        ["/options/targets", {"options": {"targets": []}}],
    ),
]


async def test_each_task_has_a_route_and_names_the_field_that_is_wrong(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    from transformers import BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification

    makes: list[Any] = [BertForSequenceClassification, BertForQuestionAnswering, BertForMaskedLM]
    names = {0: "entailment", 1: "contradiction"}
    monkeypatch.setenv("MILLRACE_INFERENCE_MODELS_DIR", str(tmp_path))
    async with running("ledger", "inference"), gateway() as client:
        for make, (kind, params, (field, wrong)) in zip(makes, ASKED, strict=True):
            route, model = f"/v1/inference/{kind.removeprefix('text.')}", kind.partition(".")[2]
            save(tiny_bert(make, id2label=names), tmp_path / model)
            with subtests.test(kind):
                asked = {"model": model, **params}
                job = (await client.post(route, json=asked, headers={"Prefer": "wait=60"}, timeout=90)).json()
                assert (job["kind"], job["status"]) == (kind, "succeeded"), job
                assert [len(output) > 0 for output in job["result"]["outputs"]] == [True] * len(TEXTS)
                assert job["result"]["model"]["name"] == model
                refused = await client.post(route, json=asked | wrong)
                assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, field)
                other = await client.post(route, json={**asked, "model": "names"}, headers={"Prefer": "wait=60"})
                assert other.json()["error"]["type"] == "/problems/model-not-found", other.text
