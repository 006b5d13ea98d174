"""`system.probe`: answer, or fail as told."""

import asyncio

from consumers.diagnostics.failing import fail
from consumers.runtime.handler import Task, handles
from consumers.settings import WORKER
from schemas.jobs.system_probe import SYSTEM_PROBE, ProbeAnswered, RunProbe


@handles(SYSTEM_PROBE, prefetch=200)
async def probe(task: Task[RunProbe], _resources: None) -> ProbeAnswered:
    if task.params.delay_s:
        await asyncio.sleep(task.params.delay_s)
    if task.envelope.attempt <= task.params.fail_attempts:
        fail(task.params.failure)
    return ProbeAnswered(payload=task.params.payload, attempt=task.envelope.attempt, worker=WORKER)
