"""Rebuilding the projection of jobs from what the broker and the other collections still hold.

Everything goes through the ledger's own fold, as a message to its queue alone, so that nothing newer is overwritten
and a second rebuild changes nothing.

What comes back: jobs in a work queue or a delay tier, jobs under a lease, dead jobs with their letters, and whatever
ended or moved so recently that Redis has its live feed. What cannot come back is a job that ended earlier: the broker
forgot it when it was acknowledged, and its result stood in the projection alone. The catalog of datasets and models
and the request log come back from the results that the projection has; what people decided about models comes back
from the audit.
"""

from collections import Counter
from contextlib import suppress
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from messaging import names
from messaging.dead_letter import Reason
from messaging.message import Claim, OutgoingMessage, message_for, own_headers
from messaging.publisher import AmqpPublisher
from messaging.rotation import rotate
from producers.catalog import CATALOGED, catalog
from producers.decisions import decide_again
from producers.reconciliation import command_of, queue_names
from producers.request_log import LOGGED, RequestLogger, RequestLogSettings
from producers.results import made
from schemas.envelope import Envelope, message_type
from schemas.lifecycle import (
    JobAborted,
    JobCancelled,
    JobDied,
    JobError,
    JobFailed,
    JobRetryScheduled,
    JobStarted,
    JobState,
    JobSucceeded,
    LifecycleEvent,
    running_sequence,
)
from storage import census
from storage.blobs import BlobMissing, BlobStore
from storage.census import EndedJob, KeptLetter, StoredJob, StoredLease
from storage.database import Database
from storage.documents import LeaseState
from storage.feed import live_feeds
from storage.settings import StorageSettings


class Rebuilding:
    def __init__(self, publisher: AmqpPublisher, database: Database, storage: StorageSettings, source: str) -> None:
        self._publisher, self._database, self._storage, self._source = publisher, database, storage, source
        self._blobs = BlobStore(storage.blobs)
        self.found: Counter[str] = Counter()
        """How many jobs each place gave back. One job may be in several."""

    async def run(self) -> None:
        """Tell the ledger of every job that is still held somewhere. Raises PublishFailed, StoreUnavailable,
        BlobUnavailable. Without Redis there are no live feeds."""
        async for lease in census.unfinished_leases(self._database):
            await self._tell_lease(lease)
        async for letter in census.letters_of_jobs(self._database):
            await self._tell_letter(letter)
        async for job_id, fields in live_feeds(self._storage):
            await self._tell_feed(job_id, fields)
        for queue in queue_names():
            if queue not in (names.LEDGER, names.DEAD):
                self.found["queues"] += await rotate(self._publisher, queue, names.LEDGER, _is_command)
        async for job in census.succeeded(self._database, sorted(CATALOGED), in_order=True):
            await self._catalog(job)
        logger = RequestLogger(self._database, self._blobs, RequestLogSettings())
        async for job in census.succeeded(self._database, [LOGGED]):
            await logger.add([job])
        await decide_again(self._database)

    async def _catalog(self, job: EndedJob) -> None:
        """The catalog has no other source than the results of jobs, and knows which it has already. In the order in
        which they ended, versions get the numbers that they had."""
        try:
            result = await made(job, self._blobs)
        except BlobMissing:
            return
        ids = {"job_id": job.id, "principal": job.principal}
        with suppress(ValueError):  # the ledger has said so
            await catalog(self._database, job.kind, result, at=job.finished_at, **ids)
            self.found["results"] += 1

    async def _tell_lease(self, lease: StoredLease) -> None:
        envelope = _envelope(lease.headers)
        if envelope is None:
            return
        await self._to_ledger(OutgoingMessage(own_headers(lease.headers), lease.body))
        if lease.state is LeaseState.RUNNING:
            started = JobStarted(started_at=lease.claimed_at, worker=lease.worker)
            told = envelope.event(started, source=self._source, sequence=running_sequence(lease.lapses, 0))
            await self._event(told, started, lease.claimed_at)
        self.found["leases"] += 1

    async def _tell_letter(self, letter: KeptLetter) -> None:
        envelope = _envelope(letter.headers)
        if envelope is None or letter.queue != names.work_queue(envelope.kind):
            return
        body = letter.body
        if body is None and letter.body_claim is not None:
            try:
                body = await self._blobs.get(letter.body_claim.path, letter.body_claim.sha256)
            except BlobMissing:
                return
        await self._to_ledger(OutgoingMessage(own_headers(letter.headers), body or b""))
        error = JobError(
            type=_PROBLEM_OF.get(letter.reason, "runtime-fault"),
            title="The job was given up on",
            detail=f"{letter.error_type}: {letter.error_detail}",
            fingerprint=letter.fingerprint or None,
        )
        died = JobDied(started_at=None, finished_at=letter.died_at, error=error)
        await self._event(envelope.event(died, source=self._source), died, letter.died_at)
        self.found["dead letters"] += 1

    async def _tell_feed(self, job_id: str, fields: dict[str, Any]) -> None:
        try:
            job = StoredJob.model_validate({**fields, "id": job_id})
            command = command_of(job, self._source)
            event = _event_of(job, fields)
        except (ValidationError, KeyError):  # its beginning was cut off, or it is none of ours
            return
        await self._to_ledger(command)
        envelope = Envelope.from_headers(command.headers)
        claim = fields.get("result_claim")
        if claim is not None:
            # The blob is the body of the event, whose envelope is the same whatever the result.
            succeeded = JobSucceeded(started_at=None, finished_at=job.updated_at, result={})
            told = _at(envelope.event(succeeded, source=self._source), job.updated_at)
            await self._to_ledger(message_for(told, b"", Claim(claim["path"], claim["sha256"])))
        elif event is not None:
            await self._event(envelope.event(event, source=self._source), event, job.updated_at)
        self.found["live feeds"] += 1

    async def _event(self, envelope: Envelope, event: LifecycleEvent, at: datetime) -> None:
        await self._to_ledger(message_for(_at(envelope, at), event.model_dump_json().encode()))

    async def _to_ledger(self, message: OutgoingMessage) -> None:
        await self._publisher.publish(message, exchange=names.DEFAULT_EXCHANGE, routing_key=names.LEDGER)


_PROBLEM_OF: dict[str, str] = {
    Reason.EXHAUSTED: "attempts-exhausted",
    Reason.UNDECODABLE: "undecodable-message",
    Reason.RUNTIME_FAULT: "runtime-fault",
    Reason.KILLS_WORKER: "worker-killed",
}


def _event_of(job: StoredJob, fields: dict[str, Any]) -> LifecycleEvent | None:
    """The event that brings a job where its feed says that it stands; None for what its command alone says.

    Raises ValidationError or KeyError.
    """
    times = {name: fields.get(name) for name in ("started_at", "finished_at")}
    match job.status:
        case JobState.QUEUED:
            if job.retry_at is None or job.error is None:
                return None
            return JobRetryScheduled(error=job.error, not_before=job.retry_at)
        case JobState.RUNNING:
            return JobStarted(started_at=fields["started_at"], worker=fields["worker"])
        case JobState.SUCCEEDED if fields.get("result_claim"):
            return None
        case JobState.SUCCEEDED:
            return JobSucceeded(result=fields["result"], **times)
        case JobState.CANCELLED:
            return JobCancelled(finished_at=fields["finished_at"], error=fields["error"])
    ended: dict[JobState, type[LifecycleEvent]] = {
        JobState.FAILED: JobFailed,
        JobState.ABORTED: JobAborted,
        JobState.DEAD: JobDied,
    }
    return ended[job.status].model_validate({"error": fields["error"], **times})


def _at(envelope: Envelope, time: datetime) -> Envelope:
    return envelope.model_copy(update={"time": time})


def _envelope(headers: dict[str, Any]) -> Envelope | None:
    """Of a command; None for anything else."""
    try:
        envelope = Envelope.from_headers(headers)
    except ValidationError:
        return None
    return envelope if envelope.type == message_type(envelope.kind) else None


def _is_command(headers: dict[str, Any], _body: bytes) -> bool:
    return _envelope(headers) is not None
