"""`system.probe`: answer, or fail as told."""

import asyncio
import os
import signal

from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import HaltConsumer, Reject, RetryLater
from consumers.settings import WORKER
from schemas.jobs.system_probe import SYSTEM_PROBE, ProbeAnswered, RunProbe


class ProbeFailed(Exception):
    """What a probe raises when it was asked to fail."""


@handles(SYSTEM_PROBE, prefetch=200)
async def probe(task: Task[RunProbe], _resources: None) -> ProbeAnswered:
    if task.params.delay_s:
        await asyncio.sleep(task.params.delay_s)
    if task.envelope.attempt <= task.params.fail_attempts:
        _fail(task.params.failure)
    return ProbeAnswered(payload=task.params.payload, attempt=task.envelope.attempt, worker=WORKER)


def _fail(failure: str) -> None:
    match failure:
        case "reject":
            raise Reject("/params/failure: this probe was asked to be rejected")
        case "error":
            raise ProbeFailed("this probe was asked to raise")
        case "retry-later":
            raise RetryLater("this probe was asked to come back later")
        case "halt":
            raise HaltConsumer("this probe was asked to halt its pool")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
