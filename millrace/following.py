"""Waiting for a job where people watch."""

import time
from contextlib import nullcontext

from millrace.client import Client
from millrace.output import console
from millrace.stack.errors import StackError
from schemas.resources import Job

_LOOK_EVERY_S = 0.3


def followed(client: Client, job: Job, *, quiet: bool) -> Job:
    """The job when it has ended; meanwhile its progress, on a terminal."""
    shown = console.status(job.kind) if not quiet and console.is_terminal else nullcontext()
    with shown as status:
        while not job.status.terminal:
            time.sleep(_LOOK_EVERY_S)
            job = client.get(job.id)
            if status is not None and job.progress is not None:
                eta = f", {job.progress.eta_s:.0f} s left" if job.progress.eta_s else ""
                status.update(f"{job.kind}: {job.progress.fraction:.0%} {job.progress.message}{eta}")
    return job


def succeeded(job: Job) -> Job:
    """Raises StackError for a job that did not."""
    if job.status != "succeeded":
        raise StackError(job.error.detail if job.error else f"job {job.id} is {job.status}")
    return job
