"""Tasks of users: made, found, changed, forked, and run in the real sandbox."""

from typing import Any

import httpx
import pytest

from schemas.jobs.task_run import TASK_RUN
from schemas.tasks import TaskDraft, Visibility
from storage import tasks
from storage.database import open_database
from tests.conftest import Deployment
from tests.support.processes import gateway, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("deployment")

WAIT = {"Prefer": "wait=60"}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
COUNT: dict[str, Any] = {
    "name": "count",
    "description": "Counts the words of a text.",
    "tags": ["text", "counting"],
    "code": {"function": "def run(given):\n    return {'words': len(given['text'].split())}\n"},
    "input_schema": TEXT,
    "output_schema": {"type": "object", "properties": {"words": {"type": "integer"}}},
    "example": {"input": {"text": "the mill race"}, "output": {"words": 3}},
}


async def made(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/v1/tasks", json=COUNT | changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ended(client: httpx.AsyncClient, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = await client.post(path, json=body, headers=WAIT, timeout=90)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    assert (job["kind"], job["status"]) == ("task.run", "succeeded"), job["error"]
    return job


async def test_a_task_is_made_found_changed_forked_and_deleted(deployment: Deployment) -> None:
    async with open_database(deployment.storage) as database, gateway() as client:
        first = await made(client)
        assert (first["visibility"], first["uses"], first["version"]["number"]) == ("private", 0, 1)
        taken = await client.post("/v1/tasks", json=COUNT)
        assert (taken.status_code, taken.json()["type"]) == (409, "/problems/conflict")
        await made(client, name="length", description="LENGTH of (a) text", tags=["measure"], visibility="public")

        async def names(query: str) -> list[str]:
            return [item["name"] for item in (await client.get(f"/v1/tasks{query}")).json()["items"]]

        assert await names("") == ["length", "count"]
        assert await names("?q=length of (a)") == ["length"]
        assert await names("?q=WORDS") == ["count"]
        assert await names("?q=.*") == []
        assert await names("?tag=text") == ["count"]
        page = (await client.get("/v1/tasks?limit=1&q=text")).json()
        rest = (await client.get(page["next"])).json()
        assert [page["items"][0]["name"], rest["items"][0]["name"], rest["next"]] == ["length", "count", None]

        content = {name: COUNT[name] for name in ("code", "input_schema", "output_schema", "example")}
        code = {"function": COUNT["code"]["function"] + "# faster\n"}
        change = {"content": content | {"code": code}, "latest": 1, "tags": ["text"]}
        second = (await client.put("/v1/tasks/count", json=change)).json()
        assert (second["version"]["number"], second["tags"], second["description"]) == (
            2,
            ["text"],
            first["description"],
        )
        assert (await client.put("/v1/tasks/count", json=change)).status_code == 409, (
            "made from what is not the newest"
        )
        again = (await client.put("/v1/tasks/count", json=change | {"latest": 2})).json()
        assert again["version"]["number"] == 2, "the same content is the same version"
        assert [each["number"] for each in (await client.get("/v1/tasks/count/versions")).json()] == [2, 1]
        old = (await client.get("/v1/tasks/count?version=1")).json()["version"]
        assert old["content"]["code"]["function"] == COUNT["code"]["function"]

        audited = (await client.get("/v1/tasks/count/audit")).json()["items"]
        assert [each["action"] for each in audited] == ["task-changed", "task-changed", "task-created"]

        forked = await client.post("/v1/tasks/count/fork", json={"name": "mine", "version": "1"})
        assert [(each["name"], each["number"]) for each in forked.json()["lineage"]] == [("count", 1)]
        deeper = (await client.post("/v1/tasks/mine/fork", json={"name": "deeper"})).json()
        assert [each["name"] for each in deeper["lineage"]] == ["count", "mine"]

        assert (await client.delete("/v1/tasks/count")).status_code == 204
        assert (await client.get("/v1/tasks/count")).status_code == 404
        assert (await client.get("/v1/tasks/mine")).json()["version"]["content"] == old["content"]
        assert (await made(client))["version"]["number"] == 1, "the content of its first version"

        await _anothers(database)
        theirs = {item["name"]: item["id"] for item in (await client.get("/v1/tasks")).json()["items"]}
        assert "secret" not in theirs
        assert "open" not in await names("?mine=true")
        refused = await client.put(f"/v1/tasks/{theirs['open']}", json={"tags": []})
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-yours")
        assert (await client.delete(f"/v1/tasks/{theirs['open']}")).status_code == 403
        ours = (await client.post(f"/v1/tasks/{theirs['open']}/fork", json={"name": "ours"})).json()
        assert (ours["principal"], ours["lineage"][0]["principal"]) == ("operator", "somebody")


async def _anothers(database: Any) -> None:
    """A private and a public task of somebody else, as another gateway would leave them."""
    from gateway.tasks import drafted

    for name, visibility in (("secret", Visibility.PRIVATE), ("open", Visibility.PUBLIC)):
        draft = TaskDraft.model_validate(COUNT | {"name": name, "visibility": visibility})
        found = drafted("somebody", draft, [])
        assert await tasks.create(database, found.task, found.version)


async def test_what_is_wrong_with_a_task_is_told_at_once(deployment: Deployment) -> None:
    async with gateway() as client:
        wrong = COUNT | {"code": {"function": "def run(x:\n"}, "example": {"input": {}, "output": {"words": "3"}}}
        answer = await client.post("/v1/tasks", json=wrong)
        assert answer.status_code == 422
        assert {each["pointer"] for each in answer.json()["errors"]} == {
            "/code/function",
            "/example/input",
            "/example/output/words",
        }
        schema = {"type": "string", "pattern": "(a+)+$"}
        answer = await client.post("/v1/tasks", json=COUNT | {"input_schema": schema})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/input_schema")


async def test_a_task_is_run_on_a_batch_counted_and_kept_from_others(deployment: Deployment) -> None:
    function = "def run(given):\n    return {'words': len(given['text'].split()) or 'none'}\n"
    async with open_database(deployment.storage) as database, running("ledger", "execution"), gateway() as client:
        task = await made(client, code={"function": function})
        inputs = [{"text": "a b"}, {"text": ""}, {"text": "c"}]
        result = (await ended(client, "/v1/tasks/count/run", {"inputs": inputs}))["result"]
        assert [each["output"] for each in result["outputs"]] == [{"words": 2}, None, {"words": 1}]
        assert "'none' is not of type 'integer'" in result["outputs"][1]["error"]
        assert (result["outcome"], result["valid"], result["version"]) == ("ok", False, task["latest"])
        checked = (await ended(client, "/v1/tasks/count/validate"))["result"]
        assert (checked["valid"], checked["outputs"][0]["matches"]) == (True, True)

        async def used() -> bool:
            return bool((await client.get("/v1/tasks/count")).json()["uses"] == 2)

        await eventually(used)
        misfit = await client.post("/v1/tasks/count/run", json={"inputs": [{"text": "x"}, {"text": 1}]})
        assert (misfit.status_code, misfit.json()["errors"][0]["pointer"]) == (422, "/inputs/1/text")
        slept = COUNT["code"] | {"function": "import time\ndef run(given):\n    time.sleep(60)\n"}
        await made(client, name="slow", code=slept)
        result = (await ended(client, "/v1/tasks/slow/run", {"inputs": [{"text": ""}], "timeout_s": 0.5}))["result"]
        assert (result["outcome"], result["valid"]) == ("timeout", False)
        assert result["outputs"][0]["error"] == "the program ended before it came to this input"

        await _anothers(database)
        for name, status in (("secret", "failed"), ("open", "succeeded")):
            found = await database["tasks"].find_one({"name": name})
            assert found is not None
            params = {"task_id": found["_id"], "version": found["latest"], "inputs": [{"text": "a b c"}]}
            answer = await client.post("/v1/jobs", json={"kind": TASK_RUN.name, "params": params}, headers=WAIT)
            assert answer.json()["status"] == status
