"""Dead letters as an operator meets them: found, understood, mended, replayed, given up, and accounted for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from messaging import names
from schemas.jobs.system_probe import RunProbe
from storage.dead_letters import LetterStore
from storage.documents import Letter
from tests.conftest import Deployment
from tests.support import wire
from tests.support.processes import PoolProcess, gateway, running
from tests.support.waiting import eventually

LIVE = ("ledger", "dead_letters", "diagnostics", "operations")


def letter(failure: str = "none", **changes: Any) -> Letter:
    """The dead letter of a probe that will succeed when it is replayed, unless it is told otherwise."""
    command = wire.command(RunProbe)
    body = RunProbe.model_validate({"failure": failure, "payload": {}}).model_dump_json().encode()
    given = {
        "id": uuid4().hex,
        "reason": "exhausted",
        "queue": names.work_queue("system.probe"),
        "routing_key": "system.probe",
        "fingerprint": "feedbeef00000001",
        "error_type": "ProbeFailed",
        "error_detail": "this probe was asked to raise",
        "traceback": "Traceback (most recent call last): ...",
        "died_at": datetime.now(UTC),
        "host": "host-1",
        "worker": "host-1-77",
        "code_version": "1.0",
        "job_id": command.job_id,
        "kind": "system.probe",
        "generation": 0,
        "attempt": 5,
        "headers": command.headers(),
        "body": body,
        "stored_at": datetime.now(UTC),
    }
    return Letter.model_validate(given | changes)


async def store(deployment: Deployment, *letters: Letter) -> None:
    async with wire.raw_store(deployment) as database:
        await LetterStore(database).add(letters)


@asynccontextmanager
async def live(*pools: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(*(pools or LIVE)), gateway() as client:
        yield client


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    response = await client.get(f"/v1/dead-letters{path}", params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def post(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> Any:
    response = await client.post(f"/v1/dead-letters{path}", json=body)
    assert response.status_code == status, response.text
    return response.json()


async def replay(client: httpx.AsyncClient, path: str = "/replay", wait_s: int = 60, **body: Any) -> dict[str, Any]:
    """The result of a replay that came to its end."""
    headers = {"Prefer": f"wait={wait_s}"}
    response = await client.post(f"/v1/dead-letters{path}", json=body, headers=headers, timeout=wait_s + 10)
    assert response.status_code == 200, response.text
    job = response.json()
    assert job["status"] == "succeeded", job
    return {"job": job["id"], **job["result"]}


async def ends(client: httpx.AsyncClient, job_id: str | None, status: str, within_s: float = 30) -> dict[str, Any]:
    job: dict[str, Any] = {}

    async def ended() -> bool:
        nonlocal job
        job = (await client.get(f"/v1/jobs/{job_id}")).json()
        return job.get("status") == status

    try:
        await eventually(ended, within_s=within_s)
    except AssertionError as error:
        raise AssertionError(f"not {status}: {job}") from error
    return job


async def states(client: httpx.AsyncClient, **wanted: Any) -> list[str]:
    found = await get(client, "", state="all", limit=200, **wanted)
    return sorted(item["state"] for item in found["items"])


@pytest.mark.slow
async def test_from_a_failing_job_to_its_replay(deployment: Deployment) -> None:
    """The whole way, with nothing made up: retries, letter, group, edit, replay, success."""
    async with live() as client:
        submitted = await client.post("/v1/jobs", json={"kind": "system.probe", "params": {"failure": "error"}})
        job = await ends(client, submitted.json()["id"], "dead", within_s=60)
        [found] = await eventually(lambda: _items(client))
        shown = await get(client, f"/{found['id']}")
        assert shown["fingerprint"] == job["error"]["fingerprint"]
        assert [attempt["attempt"] for attempt in shown["attempts"]] == [1, 2, 3, 4]
        assert {attempt["fingerprint"] for attempt in shown["attempts"]} == {shown["fingerprint"]}
        assert "mr-attempts" not in shown["headers"]
        assert '"failure":"error"' in shown["body"]
        assert shown["links"]["job"] == f"/v1/jobs/{job['id']}"

        [group] = (await get(client, "/groups"))["items"]
        assert (group["count"], group["kinds"], group["reasons"]) == (1, ["system.probe"], ["exhausted"])
        assert group["first_seen"] == group["last_seen"] == shown["died_at"]

        edited = await post(client, f"/{found['id']}/edit", params={"payload": {"mended": True}}, revision=0)
        assert '-  "failure": "error"' in edited["diff"]
        assert '+  "failure": "none"' in edited["diff"]
        result = await replay(client, f"/{found['id']}/replay")
        assert (result["selected"], result["replayed"], result["left"]) == (1, 1, 0)
        job = await ends(client, job["id"], "succeeded")
        assert (job["generation"], job["attempt"], job["error"]) == (1, 1, None)
        assert job["params"]["payload"] == job["result"]["payload"] == {"mended": True}
        again = await get(client, f"/{found['id']}")
        assert (again["state"], again["settled_by"]) == ("replayed", "operator")
        assert again["links"]["replay"] == f"/v1/jobs/{result['job']}"
        assert '"failure":"error"' in again["body"], "the original stays"
        refused = await client.post(f"/v1/dead-letters/{found['id']}/replay")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/letter-settled")


async def _items(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await get(client, ""))["items"]
    return found


async def test_letters_are_listed_searched_and_grouped(deployment: Deployment) -> None:
    now = datetime.now(UTC)
    mine = [letter(died_at=now - timedelta(minutes=age)) for age in range(5)]
    other = letter(
        fingerprint="feedbeef00000002",
        error_type="OutOfMemory",
        error_detail="batch of 32 (too big)",
        reason="kills-worker",
        code_version="2.0",
        died_at=now - timedelta(hours=2),
    )
    await store(deployment, *mine, other)
    async with gateway() as client:
        first = await get(client, "", limit=4)
        await store(deployment, letter(died_at=now + timedelta(seconds=1)))
        rest = (await client.get(first["next"])).json()
        ids = [item["id"] for item in (*first["items"], *rest["items"])]
        assert ids == [item.id for item in (*mine, other)]
        assert rest["next"] is None

        async def found(**wanted: Any) -> list[str]:
            return [item["id"] for item in (await get(client, "", **wanted))["items"]]

        assert await found(q="(TOO BIG)") == [other.id], "text, not a pattern"
        assert await found(fingerprint="feedbeef00000002") == await found(reason="kills-worker") == [other.id]
        assert await found(code_version="2.0") == await found(job_id=other.job_id) == [other.id]
        assert await found(died_before=(now - timedelta(hours=1)).isoformat()) == [other.id]
        assert other.id not in await found(died_after=(now - timedelta(hours=1)).isoformat())
        assert await found(kind="text.embed") == await found(state="discarded") == []

        groups = await get(client, "/groups")
        assert [(group["fingerprint"][-1], group["count"], group["new"]) for group in groups["items"]] == [
            ("1", 6, 6),
            ("2", 1, 0),
        ]
        assert groups["version"] == "1.0", "2.0 was seen before it"
        assert (await client.get("/v1/dead-letters?q=" + "x" * 201)).json()["type"] == "/problems/invalid-query"
        assert (await client.get(f"/v1/dead-letters/{uuid4().hex}")).status_code == 404


async def test_a_filter_replays_what_fits_and_nothing_that_came_later(deployment: Deployment) -> None:
    mine = [letter() for _ in range(20)]
    others = [letter(fingerprint="feedbeef00000002"), letter(reason="undecodable")]
    await store(deployment, *mine, *others)
    wanted: dict[str, Any] = {"filter": {"fingerprint": "feedbeef00000001", "reason": "exhausted"}}
    async with live("ledger", "diagnostics") as client:
        preview = await post(client, "/replay", dry_run=True, **wanted)
        assert (preview["count"], len(preview["sample"])) == (20, 5)
        assert [group["count"] for group in preview["groups"]["items"]] == [20]
        assert (await client.get("/v1/jobs")).json()["items"] == [], "a rehearsal creates nothing"
        accepted = await client.post("/v1/dead-letters/replay", json=wanted)
        assert accepted.status_code == 202
        late = letter(stored_at=datetime.now(UTC) + timedelta(milliseconds=5))
        await store(deployment, late)
        async with running("operations"):
            job = await ends(client, accepted.json()["id"], "succeeded")
            assert job["result"]["replayed"] == 20
            for item in mine:
                assert (await ends(client, item.job_id, "succeeded"))["generation"] == 1
        left = {item["id"] for item in await _items(client)}
    assert left == {late.id, *(item.id for item in others)}


async def test_a_group_is_replayed_at_a_rate(deployment: Deployment) -> None:
    now = datetime.now(UTC)
    mine = [letter(died_at=now - timedelta(seconds=number)) for number in range(30)]
    await store(deployment, *mine, letter(fingerprint="feedbeef00000002"))
    async with live() as client:
        started = asyncio.get_running_loop().time()
        result = await replay(client, group="feedbeef00000001", rate=15)
        took_s = asyncio.get_running_loop().time() - started
        assert (result["selected"], result["replayed"]) == (30, 30)
        assert took_s >= 1, "the second half waits for its second"
        assert len(await _items(client)) == 1


async def test_a_canary_that_fails_again_saves_the_rest(deployment: Deployment) -> None:
    async with live() as client:
        submitted = await client.post("/v1/jobs", json={"kind": "system.probe", "params": {"failure": "error"}})

        async def fingerprint() -> str | None:
            job = (await client.get(f"/v1/jobs/{submitted.json()['id']}")).json()
            return str(job["error"]["fingerprint"]) if job["error"] else None

        same = await eventually(fingerprint)
        now = datetime.now(UTC)
        old = letter("error", fingerprint=same, died_at=now - timedelta(hours=1))
        await store(deployment, old, *[letter("error", fingerprint=same, died_at=now) for _ in range(9)])
        result = await replay(client, group=same, canary=2)
        assert (result["canaries"], result["replayed"], result["left"]) == (2, 2, 8)
        assert result["stopped_by_canary"]
        assert {item["why"] for item in result["evidence"]} == {"fails-again"}
        assert {item["fingerprint"] for item in result["evidence"]} == {same}
        replayed = await get(client, "", state="replayed")
        assert old.id in [item["id"] for item in replayed["items"]], "the oldest goes first"
        assert await states(client, fingerprint=same) == ["open"] * 8 + ["replayed"] * 2


async def test_canaries_that_do_well_bring_the_rest(deployment: Deployment) -> None:
    await store(deployment, *[letter(fingerprint=f"feedbeef0000000{n % 3}") for n in range(12)])
    async with live() as client:
        result = await replay(client, filter={}, canary=3)
    assert (result["canaries"], result["replayed"], result["left"]) == (3, 12, 0)
    assert (result["stopped_by_canary"], result["evidence"]) == (False, [])


async def test_canaries_that_do_not_end_stop_it_too(deployment: Deployment) -> None:
    await store(deployment, *[letter() for _ in range(3)])
    async with live("ledger", "operations") as client:
        result = await replay(client, filter={}, canary=1, canary_timeout_s=0.5)
    assert (result["replayed"], result["left"]) == (1, 2)
    assert [item["why"] for item in result["evidence"]] == ["unfinished"]


async def test_what_cannot_be_published_stays_open(deployment: Deployment) -> None:
    lost = letter(body=None, body_claim={"path": "sha256/aa/lost", "sha256": "aa"})
    unknown = letter(queue="mr.work.gone.kind", kind="gone.kind")
    unknown.headers["mr-kind"] = "gone.kind"
    nowhere = letter(queue="mr.gone", kind=None, job_id=None)
    await store(deployment, lost, unknown, nowhere, letter())
    async with live() as client:
        result = await replay(client, filter={})
        assert (result["selected"], result["replayed"], result["left"]) == (4, 1, 3)
        assert {item["letter"] for item in result["stuck"]} == {lost.id, unknown.id, nowhere.id}
        assert {item["id"] for item in await _items(client)} == {lost.id, unknown.id, nowhere.id}


async def test_a_letter_of_the_ledger_goes_back_to_the_ledger_alone(deployment: Deployment) -> None:
    stray = letter(queue=names.LEDGER, headers={"foreign": "yes"}, body=b"no json", job_id=None, kind=None)
    await store(deployment, stray)
    async with live() as client:
        assert (await replay(client, f"/{stray.id}/replay"))["replayed"] == 1
        [back] = await eventually(lambda: _items(client))
        shown = await get(client, f"/{back['id']}")
    assert (shown["reason"], shown["queue"], shown["body"]) == ("undecodable", names.LEDGER, "no json")
    assert shown["headers"]["foreign"] == "yes"


async def test_an_edit_is_validated_shown_and_guarded(deployment: Deployment) -> None:
    mine, ledgers = letter("error"), letter(queue=names.LEDGER)
    await store(deployment, mine, ledgers)
    async with gateway() as client:
        refused = await post(client, f"/{mine.id}/edit", 422, params={"failure": "loud", "delay_s": -1})
        assert {error["pointer"] for error in refused["errors"]} == {"/params/failure", "/params/delay_s"}
        seen = await post(client, f"/{mine.id}/edit", params={"delay_s": 2}, dry_run=True)
        assert '+  "delay_s": 2.0' in seen["diff"]
        assert not (await get(client, f"/{mine.id}"))["edited"], "a rehearsal changes nothing"
        edited = await post(client, f"/{mine.id}/edit", params={"delay_s": 1}, revision=0)
        assert edited["letter"]["edit"]["params"]["delay_s"] == 1
        assert edited["letter"]["revision"] == 1
        late = await post(client, f"/{mine.id}/edit", 409, params={"delay_s": 3}, revision=0)
        assert late["type"] == "/problems/conflict"
        at_once = await asyncio.gather(
            *(
                client.post(f"/v1/dead-letters/{mine.id}/edit", json={"params": {"delay_s": n}, "revision": 1})
                for n in range(5)
            )
        )
        assert sorted(answer.status_code for answer in at_once) == [200, 409, 409, 409, 409]
        foreign = await post(client, f"/{ledgers.id}/edit", 409, params={})
        assert foreign["type"] == "/problems/letter-not-editable"
        history = await get(client, "/audit", target=mine.id)
        assert [entry["detail"]["revision"] for entry in history["items"]] == [2, 1]
        assert "delay_s" in history["items"][1]["detail"]["diff"]


async def test_discarding_wants_a_reason_and_leaves_a_trace(deployment: Deployment) -> None:
    mine = [letter() for _ in range(7)]
    other = letter(fingerprint="feedbeef00000002")
    await store(deployment, *mine, other)
    async with gateway() as client:
        await post(client, "/discard", 422, group="feedbeef00000001")
        await post(client, "/discard", 422, reason="neither filter nor group")
        assert await post(client, "/discard", group="feedbeef00000001", reason="a test", dry_run=True) == {"count": 7}
        one = {"ids": [mine[0].id]}
        assert await post(client, "/discard", filter=one, reason="made by mistake") == {"count": 1}
        assert await post(client, "/discard", filter=one, reason="made by mistake") == {"count": 0}
        found = await client.post(
            "/v1/dead-letters/discard",
            json={"group": "feedbeef00000001", "reason": "the customer left"},
            headers={"X-Request-ID": "request-9"},
        )
        assert found.json() == {"count": 6}
        shown = await get(client, f"/{mine[3].id}")
        assert (shown["state"], shown["discard_reason"], shown["settled_by"]) == (
            "discarded",
            "the customer left",
            "operator",
        )
        assert [item["id"] for item in await _items(client)] == [other.id]
        late = await post(client, f"/{mine[3].id}/edit", 409, params={})
        assert late["type"] == "/problems/letter-settled"
        newest, first = (await get(client, "/audit"))["items"]
        assert (first["target"], first["detail"]["reason"]) == (mine[0].id, "made by mistake")
        assert (newest["actor"], newest["action"], newest["target"]) == ("operator", "discarded", "selection")
        assert newest["detail"]["count"] == 6
        assert newest["detail"]["filter"] == {"fingerprint": "feedbeef00000001"}
        assert newest["request_id"] == "request-9"


async def test_a_replay_is_a_job_like_any_other(deployment: Deployment) -> None:
    async with live() as client:
        body = {"kind": "dead-letters.replay", "params": {"filter": {"kind": "text.embed"}}}
        job = (await client.post("/v1/jobs", json=body, headers={"Prefer": "wait=20"})).json()
    assert (job["status"], job["result"]["selected"], job["result"]["replayed"]) == ("succeeded", 0, 0)


async def test_a_replay_is_audited_and_repeating_its_request_is_the_same_replay(deployment: Deployment) -> None:
    await store(deployment, *[letter() for _ in range(3)])
    async with live() as client:
        asked, key = {"filter": {"kind": "system.probe"}}, {"Idempotency-Key": uuid4().hex}
        first = await client.post("/v1/dead-letters/replay", json=asked, headers=key)
        again = await client.post("/v1/dead-letters/replay", json=asked, headers=key)
        assert first.json()["id"] == again.json()["id"]
        assert again.status_code == 202, again.text
        await ends(client, first.json()["id"], "succeeded")
        ended, started = (await get(client, "/audit", target=first.json()["id"]))["items"]
    assert (started["action"], started["actor"], started["detail"]["count"]) == ("replay-started", "operator", 3)
    assert started["detail"]["filter"] == {"kind": "system.probe"}
    assert (ended["action"], ended["detail"]["replayed"]) == ("replay-ended", 3)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["replay.before-publish:3", "replay.before-mark:3"])
async def test_a_killed_replay_goes_on_where_it_was(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    count = 2_000
    now = datetime.now(UTC)
    mine = [letter(died_at=now - timedelta(milliseconds=count - n)) for n in range(count)]
    await store(deployment, *mine)
    monkeypatch.setenv("MILLRACE_LEASE_S", "3")
    monkeypatch.setenv("MILLRACE_FAILPOINTS", point)
    doomed = PoolProcess(tmp_path / "doomed", "operations")
    monkeypatch.delenv("MILLRACE_FAILPOINTS")
    async with running("ledger", "diagnostics", "reaper"), gateway() as client:
        async with doomed:
            accepted = await client.post("/v1/dead-letters/replay", json={"filter": {}})

            async def dead() -> bool:
                return not doomed.running

            await eventually(dead, within_s=60)
        async with wire.raw_store(deployment) as database:
            taken = await database["dead_letters"].count_documents({"state": "replayed"})
        assert 0 < taken < count, "killed in the middle"
        async with PoolProcess(tmp_path / "heir", "operations"):
            job = await ends(client, accepted.json()["id"], "succeeded", within_s=60)
        assert (job["result"]["selected"], job["result"]["replayed"], job["result"]["left"]) == (count, count, 0)

        async def all_done() -> bool:
            async with wire.raw_store(deployment) as database:
                done = {"kind": "system.probe", "status": "succeeded", "generation": 1}
                return await database["jobs"].count_documents(done) == count

        await eventually(all_done, within_s=60, every_s=0.25)
        actions = [entry["action"] for entry in (await get(client, "/audit", target=job["id"]))["items"]]
    assert actions == ["replay-ended", "replay-started"]


async def test_what_a_cancelled_replay_may_not_have_published_is_opened_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker died behind a mark, and its job was cancelled before another could go on."""
    monkeypatch.setattr("consumers.operations.abandoned.LOOK_EVERY_S", 0.1)
    mine = [letter() for _ in range(4)]
    await store(deployment, *mine)
    async with gateway() as client, running("ledger"):
        accepted = (await client.post("/v1/dead-letters/replay", json={"filter": {}})).json()
        async with wire.raw_store(deployment) as database:
            taken = {"state": "replayed", "replay": accepted["id"], "window": 1}
            await database["dead_letters"].update_many({"_id": {"$in": [m.id for m in mine[:2]]}}, {"$set": taken})
            await database["audit"].insert_one(
                {
                    "_id": f"{accepted['id']}.0.started",
                    "at": datetime.now(UTC),
                    "actor": "operator",
                    "action": "replay-started",
                    "target": accepted["id"],
                    "detail": {"generation": 0, "until": datetime.now(UTC)},
                }
            )
            past = {"status": "cancelled", "updated_at": datetime.now(UTC) - timedelta(minutes=1), "order": 2**40}
            await ends(client, accepted["id"], "queued")
            await eventually(lambda: _cancel(database, accepted["id"], past))
        async with running("operations"):

            async def noted() -> dict[str, Any] | None:
                entry: dict[str, Any] = (await get(client, "/audit", target=accepted["id"]))["items"][0]
                return entry if entry["action"] == "replay-ended" else None

            ended = await eventually(noted)
            assert ended is not None
            assert len(await _items(client)) == 4
    assert ended["detail"]["put_back"] == 2
    assert ended["detail"]["status"] == "cancelled"


async def _cancel(database: Any, job_id: str, changes: dict[str, Any]) -> bool:
    done = await database["jobs"].update_one({"_id": job_id}, {"$set": changes})
    return bool(done.matched_count)
