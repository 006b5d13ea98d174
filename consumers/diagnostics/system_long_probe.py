"""`system.long-probe`: count, keep checkpoints, or fail as told."""

import os
import time

from consumers.diagnostics.failing import fail
from consumers.runtime.handler import ChildTask, handles_long
from schemas.jobs.system_long_probe import SYSTEM_LONG_PROBE, LongProbeAnswered, RunLongProbe


@handles_long(SYSTEM_LONG_PROBE, slots=4)
def long_probe(task: ChildTask[RunLongProbe]) -> LongProbeAnswered:
    params = task.params
    first = int(task.resumed_from or 0)
    for step in range(first + 1, params.steps + 1):
        time.sleep(params.step_s)
        if step > params.steps / 2 and task.envelope.attempt <= params.fail_attempts:
            fail(params.failure)
        if step % params.checkpoint_every == 0:
            task.checkpoint(str(step).encode())
        task.progress(step / params.steps, f"step {step} of {params.steps}")
    return LongProbeAnswered(
        steps=params.steps,
        resumed_from=first,
        attempt=task.envelope.attempt,
        epoch=task.envelope.epoch,
        process=os.getpid(),
    )
