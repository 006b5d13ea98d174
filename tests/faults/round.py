"""One round: a cluster under load, faults one after the other, then quiet, then the judgement."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from pydantic_core import from_json

from messaging import names
from tests.faults.checker import Violation, Wrong, check
from tests.faults.cluster import GATEWAY, Cluster, open_cluster
from tests.faults.fault import Fault, Scene
from tests.faults.history import TOLD, Accepted, History, Row
from tests.faults.load import Load, doomed, probe
from tests.faults.observer import Documents, Messages, depths, watching
from tests.faults.table import RECOVERY_S, Table
from tests.support.servers import Servers
from tests.support.waiting import eventually

_WARM_UP_JOBS = 15
_DOOMED = 0.25
"""How many rounds have a job that dies of its five attempts, which takes half a minute."""
_QUIET_S = 90.0
_STILL = 3
"""Looks in a row that must find nothing moving: between two queues a message is in none."""


async def play(
    servers: Servers, folder: Path, strikes: Sequence[Sequence[Fault]], rng: random.Random, table: Table
) -> list[Violation]:
    """Everything that was wrong in a round with these faults. Adds what happened to the table."""
    async with open_cluster(servers, folder) as cluster, watching(cluster) as (messages, documents):
        await _listen(cluster)
        load = Load(cluster.client, rng)
        scene = Scene(cluster, load, messages, rng)
        async with load.running():
            if rng.random() < _DOOMED:
                await load.submit(doomed())
            await eventually(lambda: _at_least(documents, _WARM_UP_JOBS), within_s=30)
            struck: list[tuple[Sequence[Fault], set[str]]] = []
            for faults in strikes:
                given_up = {accepted.job_id for accepted in load.accepted} if struck else set()
                struck.append((faults, await _strike(scene, documents, faults, given_up, table)))
        await _until_quiet(cluster, load, documents)
        history = await _history(scene, messages, documents)
    violations = check(history)
    _enter(table, struck, load.accepted, violations)
    return violations


async def _listen(cluster: Cluster) -> None:
    """To the ends of a kind of which there are few."""
    asked = {"url": cluster.receiver.at("ok"), "topics": [f"{TOLD}.*"]}
    (await cluster.client.post("/v1/webhooks", json=asked)).raise_for_status()


async def _at_least(documents: Documents, count: int) -> bool:
    return len(documents.endings) >= count


async def _strike(
    scene: Scene, documents: Documents, faults: Sequence[Fault], given_up: set[str], table: Table
) -> set[str]:
    """The jobs that were under way between the injection and the recovery.

    `given_up` had their chance to recover from an earlier strike: if they still wait, then because of that one.
    """
    loop = asyncio.get_running_loop()
    finished = set(documents.endings)
    async with asyncio.TaskGroup() as group:
        suffering = [group.create_task(_suffer(scene, fault)) for fault in faults]
    healed_at = loop.time()
    await _recover(scene, documents, given_up)
    for fault, happened in zip(faults, (task.result() for task in suffering), strict=True):
        line = table.line(fault.name)
        line.injections += happened
        if happened and len(faults) == 1:
            line.recoveries_s.append(loop.time() - healed_at)
    return {accepted.job_id for accepted in scene.load.accepted} - finished


async def _suffer(scene: Scene, fault: Fault) -> bool:
    """One fault from beginning to end, whatever another one does meanwhile. Whether its moment came."""
    try:
        happened = await fault.inject(scene)
        await asyncio.sleep(fault.lasts_s)
    finally:  # the servers are needed for the next round, whatever becomes of this one
        await fault.heal(scene)
    return happened


async def _recover(scene: Scene, documents: Documents, given_up: set[str]) -> None:
    """Until a fresh job goes through, and everything that was accepted before and has nothing to wait for."""
    before = {accepted.job_id for accepted in scene.load.accepted if accepted.wanted.prompt} - given_up
    until = asyncio.get_running_loop().time() + RECOVERY_S
    fresh = None
    while fresh is None and asyncio.get_running_loop().time() < until:
        fresh = await scene.load.submit(probe({"fresh": True}, prompt=True))

    async def done() -> bool:
        return fresh is not None and documents.endings.keys() >= {*before, fresh.job_id}

    with suppress(AssertionError):  # the judgement names the jobs that are lost
        await eventually(done, within_s=max(0.0, until - asyncio.get_running_loop().time()))


async def _until_quiet(cluster: Cluster, load: Load, documents: Documents) -> None:
    """Until every job is finished and nothing moves; no longer than `_QUIET_S`."""
    still = 0

    async def quiet() -> bool:
        nonlocal still
        unfinished = {accepted.job_id for accepted in load.accepted} - documents.endings.keys()
        unfinished |= await documents.unfinished()
        still = still + 1 if not unfinished and not await _moving(cluster) else 0
        return still >= _STILL

    with suppress(AssertionError):
        await eventually(quiet, within_s=_QUIET_S, every_s=0.2)


async def _moving(cluster: Cluster) -> bool:
    """Whether a queue or a process holds anything."""
    if any((await depths(cluster.broker_url)).values()):
        return True
    return any([await process.busy() for name, process in cluster.processes.items() if name != GATEWAY])


async def _history(scene: Scene, messages: Messages, documents: Documents) -> History:
    """The whole story. Before it ends, the ledger gets every message of the round again, in any order: none of them
    may change anything."""
    cluster = scene.cluster
    await messages.read()
    await documents.look()
    again = list(messages.seen)
    scene.rng.shuffle(again)
    await messages.send(again, queue=names.LEDGER)
    await _until_quiet(cluster, scene.load, documents)
    listed = await _listed(cluster.client)
    await cluster.stop_processes()
    await documents.look()
    return History(
        accepted=scene.load.accepted,
        answers=scene.load.answers,
        messages=messages.seen,
        jobs={row["_id"]: row for row in await documents.rows("jobs")},
        endings=documents.endings,
        listed=listed,
        letters=await documents.rows("dead_letters"),
        leases=await documents.rows("leases"),
        epochs=documents.epochs,
        poison=scene.poison,
        told={from_json(request.body)["data"]["job_id"] for request in cluster.receiver.requests},
        left=await depths(cluster.broker_url),
    )


async def _listed(client: httpx.AsyncClient) -> Counter[str]:
    found: Counter[str] = Counter()
    url = "/v1/jobs?limit=200"
    while url:
        page: Row = (await client.get(url)).raise_for_status().json()
        found.update(job["id"] for job in page["items"])
        url = page["next"]
    return found


def _enter(
    table: Table,
    struck: list[tuple[Sequence[Fault], set[str]]],
    accepted: list[Accepted],
    violations: list[Violation],
) -> None:
    lost = {violation.subject for violation in violations if violation.wrong is Wrong.LOST}
    duplicated = {violation.subject for violation in violations if violation.wrong is Wrong.DUPLICATED}
    for faults, jobs in struck:
        for fault in faults:
            line = table.line(fault.name)
            line.jobs += len(jobs)
            line.lost += len(jobs & lost)
            line.duplicated += len(jobs & duplicated)
    table.total.injections = sum(line.injections for line in table.lines.values())
    table.total.jobs += len(accepted)
    table.total.lost += len(lost)
    table.total.duplicated += len(duplicated)
