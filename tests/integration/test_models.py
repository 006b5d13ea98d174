"""The registry of models and its predictions, on real parts; the models were really trained."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from consumers.learning.model import TrainedModel
from messaging import names
from messaging.publisher import open_publisher
from producers.outbox import Outbox
from producers.rebuilding import Rebuilding
from schemas.jobs.model_predict import PredictRows
from schemas.jobs.model_train import ModelTrained, TrainModel
from schemas.lifecycle import JobSucceeded
from storage.blobs import BlobStore
from storage.database import connect
from tests.conftest import Deployment
from tests.support import wire
from tests.support.models import IRIS_NAMES, IRIS_TYPES, iris, iris_csv, register, train
from tests.support.processes import gateway, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")

WAIT = {"Prefer": "wait=60"}
ROW = dict(zip(IRIS_NAMES, (5.1, 3.5, 1.4, 0.2), strict=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return train(tmp_path_factory.mktemp("model"), iris(), IRIS_TYPES, "species", iterations=20)


async def listed(client: httpx.AsyncClient, count: int, name: str = "iris") -> list[dict[str, Any]]:
    """The versions of a model, once there are so many."""

    async def enough() -> list[dict[str, Any]]:
        answer = await client.get(f"/v1/models/{name}/versions")
        found: list[dict[str, Any]] = answer.json() if answer.status_code == 200 else []
        return found if len(found) == count else []

    return await eventually(enough)


async def test_a_model_is_found_promoted_compared_and_deleted(
    deployment: Deployment, model: TrainedModel, tmp_path: Path
) -> None:
    async with running("ledger"), gateway() as client:
        first = await register(deployment, model, tmp_path, accuracy=0.9)
        await listed(client, 1)
        second = await register(deployment, model, tmp_path, accuracy=0.95, params={"budget_s": 60.0})
        await register(deployment, model, tmp_path, principal="somebody", name="theirs")
        versions = await listed(client, 2)
        assert [(item["number"], item["version"]) for item in versions] == [(2, second.version), (1, first.version)]
        assert [item["name"] for item in (await client.get("/v1/models")).json()["items"]] == ["iris"]
        assert (await client.get("/v1/models/theirs")).status_code == 404
        found = (await client.get(f"/v1/models/{first.model_id}")).json()
        assert (found["name"], found["latest"], found["version"]["number"]) == ("iris", second.version, 2)
        assert found["version"]["signature"]["target"] == "species"

        alias = "/v1/models/iris/aliases/champion"
        moved = [(await client.put(alias, json={"version": each})).json()["before"] for each in ("1", "2", "1")]
        assert moved == [None, first.version, second.version]
        again = await client.put(alias, json={"version": first.version})
        assert (again.status_code, again.json()["before"]) == (200, first.version)
        assert (await client.get("/v1/models/iris")).json()["version"]["number"] == 1
        assert (await client.put("/v1/models/iris/aliases/latest", json={"version": "1"})).status_code == 422
        assert (await client.put(alias, json={"version": "7"})).status_code == 404
        entries = (await client.get("/v1/models/iris/audit")).json()["items"]
        assert [(entry["action"], entry["detail"]["version"]) for entry in entries] == [
            ("alias-moved", first.version),
            ("alias-moved", second.version),
            ("alias-moved", first.version),
        ]

        compared = (await client.get("/v1/models/iris/compare?a=champion&b=latest")).json()
        assert compared["metrics"] == [{"name": "accuracy", "a": 0.9, "b": 0.95, "better": "b"}]
        assert compared["settings"] == [{"what": "budget_s", "a": 10.0, "b": 60.0}]
        assert (compared["signature"], compared["comparable"]) == ([], True)
        at = "/v1/models/iris/versions/1"
        assert (await client.get(f"{at}/card")).json()["evaluated_rows"] == 30
        assert "the card" in (await client.get(f"{at}/card.html")).text
        file = await client.get(f"{at}/artifacts/model")
        assert len(file.content) == first.artifacts["model"].bytes
        assert file.headers["content-disposition"] == 'attachment; filename="iris-1.zip"'
        assert (await client.get(f"{at}/artifacts/soul")).status_code == 404

        refused = [
            await client.post(f"{at}/archive"),
            await client.delete(at),
            await client.delete("/v1/models/iris"),
        ]
        assert [(r.status_code, r.json()["type"]) for r in refused] == [(409, "/problems/version-aliased")] * 3
        archived = await client.post("/v1/models/iris/versions/2/archive")
        assert archived.json()["archived_at"]
        assert (await client.get("/v1/models/iris")).json()["latest"] == first.version
        assert (await client.put(alias, json={"version": "2"})).status_code == 409
        assert (await client.post("/v1/models/iris/versions/2/unarchive")).json()["archived_at"] is None
        assert (await client.delete(f"{at}?force=true")).status_code == 204
        assert [item["number"] for item in await listed(client, 1)] == [2]
        assert (await client.get("/v1/models/iris")).json()["aliases"] == {}
        assert (await client.delete("/v1/models/iris/versions/2")).status_code == 204
        assert (await client.get("/v1/models/iris")).status_code == 404


async def predicted(client: httpx.AsyncClient, name: str = "iris", **body: Any) -> dict[str, Any]:
    asked = {"rows": [ROW], **body}
    answer = await client.post(f"/v1/models/{name}/predict", json=asked, headers=WAIT)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def logged(client: httpx.AsyncClient, count: int, name: str = "iris") -> list[dict[str, Any]]:
    async def enough() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await client.get(f"/v1/models/{name}/predictions")).json()["items"]
        return found if len(found) >= count else []

    return await eventually(enough)


async def test_rows_are_predicted_explained_and_logged(
    deployment: Deployment, model: TrainedModel, tmp_path: Path
) -> None:
    async with running("ledger", "prediction"), gateway() as client:
        first = await register(deployment, model, tmp_path)
        await listed(client, 1)
        job = await predicted(client, explain=True)
        assert job["kind"] == "model.predict", job
        assert job["status"] == "succeeded", job["error"]
        result = job["result"]
        assert (result["predictions"], result["version"]) == (["setosa"], first.version)
        assert sum(result["probabilities"][0]) == pytest.approx(1)
        explained = result["explanations"][0]
        assert set(explained) == set(IRIS_NAMES)
        assert max(explained, key=lambda name: explained[name]).startswith("petal")

        await client.put("/v1/models/iris/aliases/champion", json={"version": "1"})
        key = {**WAIT, "Idempotency-Key": "once"}
        one = await client.post("/v1/models/iris/predict", json={"rows": [ROW]}, headers=key)
        second = await register(deployment, model, tmp_path)
        await listed(client, 2)
        await client.put("/v1/models/iris/aliases/champion", json={"version": "2"})
        repeat = await client.post("/v1/models/iris/predict", json={"rows": [ROW]}, headers=key)
        assert (repeat.json()["id"], repeat.json()["params"]["version"]) == (one.json()["id"], first.version)
        assert (await predicted(client, log="outputs"))["params"]["version"] == second.version
        assert (await predicted(client, alias="champion", log="off"))["result"]["version"] == second.version
        assert (await predicted(client, version="1"))["result"]["version"] == first.version
        wrong = await predicted(client, rows=[ROW, {**ROW, "petal_width": "wide"}])
        assert wrong["status"] == "failed"
        assert wrong["error"]["detail"].startswith("/params/rows/1/petal_width: expected a number")
        both = await client.post("/v1/models/iris/predict", json={"rows": [ROW], "version": "1", "alias": "a"})
        assert both.status_code == 422
        assert (await client.post("/v1/models/none/predict", json={"rows": [ROW]})).status_code == 404

        entries = await logged(client, 4)
        assert [(entry["version"], entry["inputs"]) for entry in entries] == [
            (first.version, [ROW]),
            (second.version, None),
            (first.version, [ROW]),
            (first.version, [ROW]),
        ]
        assert entries[0]["outputs"]["predictions"] == ["setosa"]
        paged = (await client.get("/v1/models/iris/predictions?version=1&limit=2")).json()
        rest = (await client.get(paged["next"])).json()
        assert [entry["job_id"] for entry in paged["items"] + rest["items"]] == [
            entry["job_id"] for entry in entries if entry["version"] == first.version
        ]
        no_profile = await client.get("/v1/models/iris/drift")
        assert (no_profile.status_code, "profile" in no_profile.json()["detail"]) == (404, True)


async def test_a_request_is_logged_once_whichever_is_folded_first(
    deployment: Deployment, model: TrainedModel, tmp_path: Path
) -> None:
    example = Path(__file__).parents[1] / "contract/examples/model.predicted.1.json"
    async with running("ledger"), gateway() as client:
        trained = await register(deployment, model, tmp_path)
        await listed(client, 1)
        result = json.loads(example.read_text())["body"]
        result |= {"model_id": trained.model_id, "version": trained.version}
        asked = PredictRows(model_id=trained.model_id, version=trained.version, rows=[ROW])
        envelope = wire.command(PredictRows)
        succeeded = JobSucceeded(started_at=None, finished_at=datetime.now(UTC), result=result)
        hostile = JobSucceeded(started_at=None, finished_at=datetime.now(UTC), result={"surplus": 1})
        async with open_publisher(deployment.broker, "test") as publisher:
            outbox = Outbox(publisher, BlobStore(deployment.storage.blobs))
            for told_of, event in ((wire.command(PredictRows), hostile), (envelope, succeeded)):
                await outbox.tell(told_of.event(event, source="test"), event)

                async def told(job_id: str = told_of.job_id) -> bool:
                    answer = await client.get("/v1/jobs?kind=model.predict")
                    return job_id in {job["id"] for job in answer.json()["items"]}

                await eventually(told)
                for _ in range(2):
                    body = asked.model_dump_json().encode()
                    await wire.publish(deployment, "", names.LEDGER, body, told_of.headers())
        await logged(client, 1)
        entries = (await client.get("/v1/models/iris/predictions")).json()["items"]
    assert [(entry["job_id"], entry["inputs"]) for entry in entries] == [(envelope.job_id, [ROW])]


async def test_what_is_no_ones_or_anothers_or_broken_is_refused(
    deployment: Deployment, model: TrainedModel, tmp_path: Path
) -> None:
    async with running("ledger", "prediction"), gateway() as client:
        theirs = await register(deployment, model, tmp_path, principal="somebody")
        mine = await register(deployment, model, tmp_path)
        await listed(client, 1)
        path = next(tmp_path.joinpath("blobs").rglob(f"*{mine.artifacts['model'].sha256[8:]}*"))
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        errors = {}
        for case, trained in {"theirs": theirs, "broken": mine}.items():
            params = {"model_id": trained.model_id, "version": trained.version, "rows": [ROW]}
            job = await client.post("/v1/jobs", json={"kind": "model.predict", "params": params}, headers=WAIT)
            errors[case] = (job.json()["status"], job.json()["error"]["type"])
    assert errors == {
        "theirs": ("failed", "/problems/not-found"),
        "broken": ("failed", "/problems/model-broken"),
    }


async def test_a_dataset_becomes_a_dataset_with_predictions_and_drifts(
    deployment: Deployment, model: TrainedModel, tmp_path: Path
) -> None:
    async with running("ledger", "ingestion", "profiling", "prediction"), gateway() as client:
        ingested = (await client.put("/v1/datasets/iris", content=iris_csv(), headers=WAIT)).json()["result"]
        trained = await register(deployment, model, tmp_path, dataset=("iris", ingested["version"]))
        await listed(client, 1)
        asked = {"dataset": "iris"}
        jobs = [
            (await client.post("/v1/models/iris/predict-dataset", json=asked, headers=WAIT)).json() for _ in range(2)
        ]
        assert jobs[0]["kind"] == "model.predict-dataset"
        assert [job["status"] for job in jobs] == ["succeeded"] * 2, jobs[0]["error"]
        assert jobs[0]["result"] == jobs[1]["result"], "equal models and tables make equal bytes"
        assert (jobs[0]["result"]["rows"], jobs[0]["params"]["version"]) == (150, trained.version)
        found = (await client.get("/v1/datasets/iris-iris")).json()
        assert found["version"]["number"] == 1
        table = pq.read_table(io.BytesIO((await client.get(found["links"]["table"])).content))
        assert table.column_names[:5] == [*IRIS_NAMES, "species"]
        assert table.column_names[5:] == ["prediction", *(f"probability_{c}" for c in model.signature.classes or ())]
        right = sum(
            a == b for a, b in zip(table["species"].to_pylist(), table["prediction"].to_pylist(), strict=True)
        )
        assert right > 140
        assert (await client.get(found["links"]["preview"])).json()["columns"] == table.column_names

        await client.post("/v1/datasets/iris/profile", json={}, headers=WAIT)
        rows = [{**ROW, "petal_width": 2.2, "sepal_width": 2.0 + (number % 20) / 10} for number in range(200)]
        await predicted(client, rows=rows)
        await logged(client, 1)
        drift = (await client.get("/v1/models/iris/drift?days=1")).json()
        assert (drift["requests"], drift["rows"], drift["training_rows"]) == (1, 200, 150)
        by_column = {column["column"]: column for column in drift["columns"]}
        assert by_column["petal_width"]["verdict"] == "shifted"
        assert by_column["sepal_width"]["score"] < by_column["petal_width"]["score"]


async def test_training_is_asked_for_by_names() -> None:
    async with running("ledger", "ingestion"), gateway() as client:
        ingested = (await client.put("/v1/datasets/iris", content=iris_csv(), headers=WAIT)).json()["result"]
        asked = {"dataset": "iris", "target": "petal width (cm)", "budget_s": 5}
        job = await client.post("/v1/models/train", json=asked)
        assert job.status_code == 202, job.text
        params = job.json()["params"]
        assert (params["dataset_id"], params["version"]) == (ingested["dataset_id"], ingested["version"])
        assert (params["name"], params["budget_s"]) == ("iris-petal-width-cm-", 5)
        refused = await client.post("/v1/models/train", json={"dataset": "iris", "target": "x", "budgets": 1})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/budgets")
        assert (await client.post("/v1/models/train", json={"dataset": "no", "target": "x"})).status_code == 404
        assert (await client.get("/v1/plugins")).json() == []


async def test_the_registry_is_made_again_from_results_and_the_audit(
    deployment: Deployment, model: TrainedModel, tmp_path: Path
) -> None:
    # A name of its own, for a rebuild also reads the feeds of other tests' jobs, which Redis still has.
    async with running("ledger", "prediction"), gateway() as client:
        for number in range(3):
            await register(deployment, model, tmp_path, name="again")
            await listed(client, number + 1, "again")
        await client.put("/v1/models/again/aliases/champion", json={"version": "2"})
        await client.post("/v1/models/again/versions/1/archive")
        await client.delete("/v1/models/again/versions/3")
        await predicted(client, "again")
        await logged(client, 1, "again")
        await register(deployment, model, tmp_path, name="gone")
        await listed(client, 1, "gone")
        await client.delete("/v1/models/gone")

        async def state() -> list[Any]:
            paths = ("", "/versions", "/predictions")
            return [(await client.get(f"/v1/models/again{path}")).json() for path in paths]

        before = await state()
        async with connect(deployment.storage) as database, open_publisher(deployment.broker, "test") as publisher:
            rebuilding = Rebuilding(publisher, database, deployment.storage, "test")
            await rebuilding.run()
            assert await state() == before, "nothing was lost, and nothing changes"
            for collection in ("models", "model_versions", "predictions"):
                await database[collection].delete_many({})
            assert (await client.get("/v1/models/again")).status_code == 404
            await rebuilding.run()
        after = await state()
        for found in (before, after):
            found[1][1]["archived_at"] = bool(found[1][1]["archived_at"])
        assert after == before
        assert (await client.get("/v1/models/gone")).status_code == 404


@pytest.mark.parametrize("flaw", ["of another shape", "beyond BSON"])
async def test_a_training_that_cannot_be_listed_does_not_stop_the_ledger(
    deployment: Deployment, model: TrainedModel, tmp_path: Path, flaw: str
) -> None:
    async with running("ledger"), gateway() as client:
        trained: ModelTrained = await register(deployment, model, tmp_path)
        result = json.loads(trained.model_dump_json())
        if flaw == "of another shape":
            result = {"surplus": 1}
        else:
            result |= {"version": "f" * 12, "trials": 2**70, "warnings": ["x" * 300_000]}
        succeeded = JobSucceeded(started_at=None, finished_at=datetime.now(UTC), result=result)
        async with open_publisher(deployment.broker, "test") as publisher:
            envelope = wire.command(TrainModel)
            outbox = Outbox(publisher, BlobStore(deployment.storage.blobs))
            await outbox.tell(envelope.event(succeeded, source="test"), succeeded)
        await register(deployment, model, tmp_path)
        assert [item["number"] for item in await listed(client, 2)] == [2, 1]
