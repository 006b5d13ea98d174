"""What is told: made of the job as the store has it, so that it is what stands, and the same at every attempt."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from consumers.runtime.patience import until_done
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.envelope import Envelope
from schemas.jobs.notification_send import SendNotification
from schemas.lifecycle import JobState
from schemas.topics import FACT_OF
from storage import jobs
from storage.database import Database

TEST, DIGEST = "notification.test", "notification.digest"
MAX_BYTES = 20_000  # what receivers of webhooks are ready to take; a larger result is fetched
_FOLDED_WITHIN_S, _LOOK_EVERY_S = 20.0, 0.1


@dataclass(frozen=True)
class Notice:
    event: str
    type: str
    """`<kind>.<fact>`, or that it is a test."""
    at: datetime
    title: str
    text: str
    job_id: str | None = None
    generation: int = 0
    data: dict[str, Any] = field(default_factory=dict)

    def body(self) -> bytes:
        """For programs: JSON of a bounded size."""
        whole = to_json({"type": self.type, "timestamp": _time(self.at), "data": self.data})
        if len(whole) <= MAX_BYTES:
            return whole
        less = self.data | {"result": None, "result_omitted": True}
        return to_json({"type": self.type, "timestamp": _time(self.at), "data": less})


class Notices:
    def __init__(self, database: Database, public_url: str) -> None:
        self._database, self._public_url = database, public_url.rstrip("/")

    async def of(self, command: SendNotification, envelope: Envelope) -> Notice:
        """Raises Reject for what is nobody's to tell any more, RetryLater while the ledger has not seen the end."""
        if command.job_id is None:
            text = "This is a test: whatever you see it with works."
            return Notice(command.event, TEST, envelope.time, "A test of notifications", text, data={"message": text})
        return self._of_end(command, await self._ended(command, envelope.principal))

    def link(self, job_id: str) -> str:
        return f"{self._public_url}/v1/jobs/{job_id}"

    async def _ended(self, command: SendNotification, principal: str) -> dict[str, Any]:
        """Its end may be here before the ledger has folded it."""
        until = time.monotonic() + _FOLDED_WITHIN_S
        while True:
            job = await until_done(jobs.outline, self._database, command.job_id or "")
            if job is not None and job["principal"] != principal:
                raise Reject("the job is somebody else's", type="receiver-gone", title="Nobody is there to be told")
            if job is not None and job["generation"] > command.generation:
                raise Reject("the job has been replayed since", type="superseded", title="The job was replayed")
            if job is not None and JobState(job["status"]).terminal:
                return job
            if time.monotonic() >= until:
                raise RetryLater("the ledger has not folded the end of the job")
            await asyncio.sleep(_LOOK_EVERY_S)

    def _of_end(self, command: SendNotification, job: dict[str, Any]) -> Notice:
        state = JobState(job["status"])
        names = ("kind", "status", "generation", "attempt")
        times = ("created_at", "started_at", "finished_at")
        data = {"job_id": job["_id"], **{name: job.get(name) for name in names}}
        data |= {name: job[name] and _time(job[name]) for name in times if name in job}
        data |= {"result": job.get("result"), "error": job.get("error"), "links": {"job": self.link(job["_id"])}}
        if job.get("result_claim"):
            data["result_omitted"] = True
        return Notice(
            command.event,
            f"{job['kind']}.{FACT_OF[state]}",
            job.get("finished_at") or job["updated_at"],
            f"{job['kind']} {state}",
            _text(job),
            job["_id"],
            command.generation,
            data,
        )


def _text(job: dict[str, Any]) -> str:
    if error := job.get("error"):
        return f"{error['title']}: {error['detail']}" if error.get("detail") else str(error["title"])
    named = (job.get("result") or {}).get("name")
    took = f"It took {(job['finished_at'] - job['created_at']).total_seconds():.1f} s."
    return f"{named}. {took}" if isinstance(named, str) else took


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
