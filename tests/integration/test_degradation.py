"""Every cell of the table in docs/degradation.md: a part is taken away, and each request is made."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from redis.asyncio import Redis

from messaging import topology
from messaging.publisher import open_publisher
from messaging.settings import BrokerSettings
from millrace.stack.services import RabbitMQ
from producers.catalog import model_id_of
from producers.outbox import Outbox
from schemas.jobs.model_train import TrainModel
from schemas.lifecycle import JobStarted
from storage import models
from storage.blobs import BlobStore
from storage.database import connect
from storage.settings import StorageSettings
from tests.conftest import Deployment
from tests.support import wire
from tests.support.processes import PoolProcess
from tests.support.served import served_gateway, stream
from tests.support.servers import Servers
from tests.support.waiting import eventually

_TABLE = Path(__file__).parents[2] / "docs" / "degradation.md"
WITHIN_S = 1.6  # "about a second", on a machine that does other things as well
WAIT = {"Prefer": "wait=1"}

pytestmark = pytest.mark.slow


def table() -> dict[str, dict[str, str]]:
    """Cells by the part that is away and the request, as the document has them."""
    lines = [line for line in _TABLE.read_text().splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {part: {row[0]: row[column] for row in body} for column, part in enumerate(head) if column}


@dataclass
class Scene:
    """Jobs that are there before a part goes away."""

    client: httpx.AsyncClient
    old: str = ""
    """Ended, and without a live feed."""
    moving: str = ""
    """Queued, with a live feed."""
    doomed: str = ""
    """Queued, to be cancelled."""
    training: str = ""
    """Running, as far as anybody can tell."""
    key: str = field(default_factory=lambda: uuid4().hex)
    accepted: list[str] = field(default_factory=list)
    """What was answered with 202, to be looked for when all is well again."""


# Of a kind that no worker takes in these tests, so that it stays where it is.
_WAITING = {"kind": "text.embed", "params": {"inputs": ["a"]}}
_PROBE = {"kind": "system.probe"}
_TRAINED = json.loads((Path(__file__).parents[1] / "contract/examples/model.trained.1.json").read_text())["body"]
_MODEL, _ROWS = _TRAINED["name"], {"rows": [{"age": 0.1, "sex": 0.1}]}
_TRAINING = TrainModel(name=_MODEL, dataset_id="0" * 32, version="0" * 12, target="target")


async def _submit(scene: Scene, headers: dict[str, str] | None = None) -> httpx.Response:
    response = await scene.client.post("/v1/jobs", json=_PROBE, headers=headers)
    if response.is_success:
        scene.accepted.append(response.json()["id"])
    return response


async def _repeat(scene: Scene) -> httpx.Response:
    return await scene.client.post("/v1/jobs", json=_WAITING, headers={"Idempotency-Key": scene.key})


async def _ask_again(scene: Scene) -> httpx.Response:
    return await scene.client.post("/v1/inference/embed", json={"inputs": ["b"]}, headers=WAIT)


async def _poll_new(scene: Scene) -> httpx.Response:
    """When nothing can be accepted, one of which it is not known whether it was."""
    job_id = scene.accepted[0] if scene.accepted else uuid4().hex
    return await scene.client.get(f"/v1/jobs/{job_id}")


async def _stream(scene: Scene) -> httpx.Response:
    async with aclosing(stream(scene.client, scene.moving)) as events:  # type: ignore[type-var]  # a generator it is
        first = await anext(events)
    assert first.job["id"] == scene.moving
    return httpx.Response(200)


async def _follow_topics(scene: Scene) -> httpx.Response:
    async with scene.client.stream("GET", "/v1/events?topic=%23") as response:
        return httpx.Response(response.status_code)


def _get(path: str) -> Callable[[Scene], Awaitable[httpx.Response]]:
    return lambda scene: scene.client.get(path.format(**vars(scene)))


REQUESTS: dict[str, Callable[[Scene], Awaitable[httpx.Response]]] = {
    "submit": _submit,
    "repeat a submission with its `Idempotency-Key`": _repeat,
    "submit with `Prefer: wait`": lambda scene: _submit(scene, WAIT),
    "ask a model, with `Prefer: wait`, what it has answered before": _ask_again,
    "poll a job accepted a moment ago": _poll_new,
    "poll a job that changed a moment ago": _get("/v1/jobs/{moving}"),
    "poll a job that ended long ago": _get("/v1/jobs/{old}"),
    "list": _get("/v1/jobs"),
    "stream a job that changed a moment ago": _stream,
    "follow topics": _follow_topics,
    "cancel a queued job": lambda scene: scene.client.post(f"/v1/jobs/{scene.doomed}/cancel"),
    "`finish` a running job": lambda scene: scene.client.post(f"/v1/jobs/{scene.training}/finish"),
    "`predict` by a model's name": lambda scene: scene.client.post(f"/v1/models/{_MODEL}/predict", json=_ROWS),
    "`why` of a queued job": _get("/v1/jobs/{moving}/why"),
    "list dead letters": _get("/v1/dead-letters"),
}

HEALTH: dict[str, dict[str, str]] = {
    "Redis away": {"live": "degraded"},
    "store away": {
        "read": "degraded",
        "live": "degraded",
        "cancel": "degraded",
        "dead-letters": "away",
        "why": "degraded",
    },
    "broker away": {"submit": "away", "cancel": "away", "dead-letters": "degraded", "why": "degraded"},
    "ledger away": {"read": "degraded", "live": "degraded", "cancel": "degraded"},
    "no worker": {"submit": "degraded"},
}


def test_the_table_has_every_part_and_every_request() -> None:
    assert set(table()) == set(HEALTH)
    for cells in table().values():
        assert set(cells) == set(REQUESTS)


@dataclass
class Stage:
    servers: Servers
    broker: RabbitMQ | None
    """Of its own: the broker that the tests share holds what is left of a hundred others, and bears no crash."""
    ledger: PoolProcess
    workers: PoolProcess


async def _take_away(part: str, stage: Stage) -> None:
    match part:
        case "Redis away":
            await stage.servers.redis.kill()
        case "store away":
            await stage.servers.store.kill()
        case "broker away":
            assert stage.broker is not None
            await stage.broker.settle()
            await stage.broker.kill()
        case "ledger away":
            await stage.ledger.kill()
        case "no worker":
            await stage.workers.kill()


async def _bring_back(part: str, stage: Stage) -> None:
    match part:
        case "Redis away":
            await stage.servers.redis.start()
        case "store away":
            await stage.servers.store.start()
        case "broker away":
            assert stage.broker is not None
            await stage.broker.start()
        case "ledger away":
            await stage.ledger.start()
        case "no worker":
            await stage.workers.start()


@asynccontextmanager
async def own_broker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RabbitMQ]:
    async with RabbitMQ(folder / "rabbitmq") as rabbitmq:
        monkeypatch.setenv("RABBITMQ_URL", rabbitmq.url)
        await topology.apply(rabbitmq.url)
        yield rabbitmq


@asynccontextmanager
async def staged(
    deployment: Deployment, servers: Servers, folder: Path, broker: RabbitMQ | None = None
) -> AsyncIterator[tuple[Stage, Scene]]:
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(PoolProcess(folder, "ledger"))
        workers = await stack.enter_async_context(PoolProcess(folder, "diagnostics"))
        client = await stack.enter_async_context(served_gateway())
        scene = Scene(client)
        ended = await client.post("/v1/jobs", json=_PROBE, headers={"Prefer": "wait=20"})
        scene.old = ended.json()["id"]
        assert ended.json()["status"] == "succeeded"
        scene.moving = (await client.post("/v1/jobs", json=_WAITING)).json()["id"]
        scene.doomed = (await client.post("/v1/jobs", json=_WAITING)).json()["id"]
        await client.post("/v1/jobs", json=_WAITING, headers={"Idempotency-Key": scene.key})
        scene.training = await _begun(client)
        await _registered(deployment)

        async def all_listed() -> bool:
            found = {job["id"]: job["status"] for job in (await client.get("/v1/jobs")).json()["items"]}
            return len(found) == 5 and found[scene.training] == "running"

        await eventually(all_listed)
        async with Redis.from_url(deployment.storage.redis_url) as redis:
            await redis.delete(f"mr:job:{scene.old}")
        yield Stage(servers, broker, ledger, workers), scene


async def _begun(client: httpx.AsyncClient) -> str:
    """A training that its worker has told of."""
    asked = {"kind": "model.train", "params": _TRAINING.model_dump(mode="json")}
    job_id = str((await client.post("/v1/jobs", json=asked)).json()["id"])
    started = JobStarted(started_at=datetime.now(UTC), worker="w")
    event = wire.command(TrainModel, job_id=job_id, subject=job_id).event(started, source="test")
    async with open_publisher(BrokerSettings(), "test") as publisher:
        await Outbox(publisher, BlobStore(StorageSettings().blobs)).tell(event, started)
    return job_id


async def _registered(deployment: Deployment) -> None:
    trained = _TRAINED | {"model_id": model_id_of("operator", _MODEL)}
    async with connect(deployment.storage) as database:
        await models.add_version(database, trained, job_id="j", principal="operator", at=datetime.now(UTC))


@pytest.mark.parametrize("part", HEALTH)
async def test_each_request_answers_as_the_table_says_while(
    part: str,
    servers: Servers,
    deployment: Deployment,
    tmp_path: Path,
    subtests: pytest.Subtests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with AsyncExitStack() as stack:
        broker = None
        if part == "broker away":
            broker = await stack.enter_async_context(own_broker(tmp_path, monkeypatch))
        stage, scene = await stack.enter_async_context(staged(deployment, servers, tmp_path, broker))
        well = await _capabilities(scene)
        await _take_away(part, stage)
        try:
            for name, cell in table()[part].items():
                with subtests.test(name):
                    await _check(REQUESTS[name], scene, cell, waits="`Prefer: wait`" in name)
            with subtests.test("health"):
                await eventually(lambda: _health_says(scene, well | HEALTH[part]), within_s=5)
        finally:
            await _bring_back(part, stage)
        await eventually(lambda: _all_is_well(scene, well), within_s=60, every_s=0.2)


async def _check(
    request: Callable[[Scene], Awaitable[httpx.Response]], scene: Scene, cell: str, *, waits: bool
) -> None:
    started = time.perf_counter()
    async with asyncio.timeout(20):
        response = await request(scene)
    taken_s = time.perf_counter() - started
    assert str(response.status_code) == cell[:3], response.text
    if response.status_code == 503:
        assert response.headers["content-type"] == "application/problem+json"
        assert int(response.headers["retry-after"]) >= 1
    assert taken_s < WITHIN_S + (1 if waits else 0)


async def _capabilities(scene: Scene) -> dict[str, str]:
    found = (await scene.client.get("/health/ready")).json()["capabilities"]
    return {name: capability["state"] for name, capability in found.items()}


async def _health_says(scene: Scene, expected: dict[str, str]) -> bool:
    return await _capabilities(scene) == expected


async def _all_is_well(scene: Scene, well: dict[str, str]) -> bool:
    """The part is used again, by itself; and whatever was accepted meanwhile has ended."""
    if await _capabilities(scene) != well:
        return False
    ended = [await scene.client.get(f"/v1/jobs/{job_id}") for job_id in scene.accepted]
    return all(response.is_success and response.json()["status"] == "succeeded" for response in ended)


async def test_a_store_that_hangs_is_refused_without_asking_it(
    servers: Servers, deployment: Deployment, tmp_path: Path
) -> None:
    """Stopped, not killed: it accepts connections and answers nothing."""
    async with staged(deployment, servers, tmp_path) as (_, scene):
        process = await asyncio.to_thread(_suspend, servers.store.pid)
        try:

            async def refused_at_once() -> bool:
                started = time.perf_counter()
                response = await scene.client.get(f"/v1/jobs/{scene.old}")
                assert response.status_code == 503
                return time.perf_counter() - started < 0.5

            await eventually(refused_at_once, within_s=8)
            assert (await _submit(scene)).status_code == 202
        finally:
            process.resume()
        await eventually(lambda: _readable(scene), within_s=20)


async def _readable(scene: Scene) -> bool:
    return (await scene.client.get(f"/v1/jobs/{scene.old}")).status_code == 200


def _suspend(pid: int | None) -> psutil.Process:
    process = psutil.Process(pid)
    process.suspend()
    return process


async def test_a_redis_that_hangs_costs_a_request_a_second_and_not_all(
    servers: Servers, deployment: Deployment, tmp_path: Path
) -> None:
    async with staged(deployment, servers, tmp_path) as (_, scene):
        process = await asyncio.to_thread(_suspend, servers.redis.pid)
        try:
            times = []
            for _ in range(10):
                started = time.perf_counter()
                response = await scene.client.get(f"/v1/jobs/{scene.old}")
                times.append(time.perf_counter() - started)
                assert response.status_code == 200
        finally:
            process.resume()
    assert max(times) < WITHIN_S
    assert sum(taken_s > 0.5 for taken_s in times) <= 2
