"""Long mode: claim with a lease, acknowledge at once, run, decide, publish.

The broker forgets the job when it is claimed, so its acknowledgement timeout does not matter and nothing waits behind
a job of three hours. From then on the lease holds it: renewed while the handler runs, given back when this process
has to end, taken by the reaper when this process is gone. How the attempt ended is decided by one change of the
lease; whoever was frozen past its lease finds it changed and says nothing.
"""

import asyncio
import random
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any
from uuid import uuid4

import structlog

from consumers.runtime.cancellations import Cancellations
from consumers.runtime.ceiling import Ceiling
from consumers.runtime.children import ChildStopped, run_in_child
from consumers.runtime.command import Command, observe, parcels
from consumers.runtime.handler import Handler, LongTask
from consumers.runtime.incoming import Undecodable
from consumers.runtime.intake import Intake
from consumers.runtime.outcome import Attempt, Bury, Decision, Finish, Postpone, forensics, judge, missed_deadline
from consumers.runtime.patience import until_done
from consumers.runtime.pool import Services
from consumers.runtime.progress import Progress
from consumers.runtime.verdicts import Verdict
from messaging import names
from messaging.consumer import Delivery
from messaging.dead_letter import Reason
from messaging.message import own_headers
from producers.leases import publish_outbox, put_back, settlement
from schemas.lifecycle import JobStarted, JobSucceeded, running_sequence
from storage.blobs import BlobMissing
from storage.cancellation import end
from storage.database import StoreUnavailable
from storage.documents import StoredClaim
from storage.leases import Lease, Leases, Wanted
from telemetry import failpoints, metrics

log = structlog.get_logger()

_REPORT_EVERY_S = 0.5


class _Stop(Enum):
    CANCELLED = auto()
    LOST = auto()
    """The lease is somebody else's."""
    LEAVING = auto()
    """This process has to end."""


class LongWorker:
    """Runs the handler of one long kind."""

    def __init__(
        self,
        handler: Handler,
        resources: Any,
        services: Services,
        cancellations: Cancellations,
        most_dead_letters: int,
        lease_s: float,
    ) -> None:
        self.kind = handler.kind.name
        self._handler, self._resources, self._services = handler, resources, services
        self._cancellations, self._ceiling = cancellations, Ceiling(most_dead_letters)
        self.leases, self._lease_s = Leases(services.database, lease_s), lease_s
        self._outbox = services.outbox
        self._queue = names.work_queue(self.kind)
        self._rng = random.Random()  # noqa: S311  # jitter
        self._deliveries: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[None], _Run] = {}

    async def start(self) -> None:
        subscription = await self._services.consumer.subscribe(self._queue, 1, self.on_delivery)
        self._intake = Intake(self.kind, self._ceiling, subscription, slots=self._handler.prefetch)
        self._taking = self._services.background.create_task(self._intake.run())

    async def drain(self) -> None:
        await end(self._taking)
        while self._running or self._deliveries:
            await asyncio.wait([*self._running, *self._deliveries])

    async def close(self) -> None:
        """Give back what is not finished: the next holder goes on from the last checkpoint."""
        await end(self._taking)
        for run in self._running.values():
            run.stop(_Stop.LEAVING)
        if self._running:
            await asyncio.wait(self._running)

    def health(self) -> dict[str, object]:
        return {"in_flight": len(self._running), **self._ceiling.health()}

    async def on_delivery(self, delivery: Delivery) -> None:
        this = asyncio.current_task()
        if this is not None:
            self._deliveries.add(this)
            this.add_done_callback(self._deliveries.discard)
        try:
            await self._take(delivery)
        except Exception as error:
            reason = Reason.UNDECODABLE if isinstance(error, Undecodable) else Reason.RUNTIME_FAULT
            log.exception("not_taken")
            bury = Bury(forensics(error, reason, self._queue))
            await until_done(self._outbox.bury, delivery.headers, delivery.body, bury.forensics, delivery.routing_key)
            observe(bury, self.kind, self._queue)
        failpoints.reach("claim.before-ack")
        delivery.ack()

    async def _take(self, delivery: Delivery) -> None:
        """Start the job, or know why not."""
        command = Command.of(delivery, self.kind)
        envelope = command.envelope
        if await self._cancellations.ended(envelope):
            log.info("job_stopped")
            return
        failpoints.reach("claim.before")
        lease = await until_done(self.leases.claim, _wanted(command), self._services.worker)
        if lease is None:
            log.info("duplicate_command")
            return
        # What was started in time and lost its worker goes on.
        if envelope.deadline is not None and envelope.deadline <= datetime.now(UTC) and not lease.resumed:
            await self.carry_out(Finish(missed_deadline(envelope.deadline)), command, lease)
            return
        metrics.QUEUE_WAIT_SECONDS.labels(self.kind).observe((datetime.now(UTC) - envelope.time).total_seconds())
        run = _Run(self, command, lease)
        task = asyncio.create_task(run.to_its_end())
        self._running[task] = run
        task.add_done_callback(self._ended)
        await self._intake.started()

    async def carry_out(self, decision: Decision, command: Command, lease: Lease) -> None:
        """Decide it in the lease, then publish it."""
        published = await until_done(parcels, decision, command, self._outbox, self._services.worker)
        failpoints.reach("settle.before")
        if isinstance(decision, Postpone):  # the attempt is still to be run, so its lease must not be done with
            if lapsed := await until_done(self.leases.lapse, lease, expired=False):
                await until_done(put_back, lapsed, self.leases, self._outbox, *published)
        elif settled := await until_done(self.leases.settle, lease, settlement(published)):
            failpoints.reach("settle.before-publish")
            await until_done(publish_outbox, settled, self.leases, self._outbox)
        else:
            log.warning("lease_lost", epoch=lease.epoch)
            return
        observe(decision, self.kind, self._queue)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._intake.ended()
        if not task.cancelled() and (error := task.exception()):  # the lease expires, and the reaper sees to the job
            log.error("runtime_fault", exc_info=error)


class _Run:
    """One job under one lease."""

    def __init__(self, worker: LongWorker, command: Command, lease: Lease) -> None:
        self._worker, self._lease = worker, lease
        envelope = command.envelope.model_copy(update={"epoch": lease.epoch})
        self._command = Command(envelope, command.headers, command.body, command.queue)
        self._handling: asyncio.Task[JobSucceeded] | None = None
        self._why: _Stop | None = None

    def stop(self, why: _Stop) -> None:
        if self._why is None:
            self._why = why
            if self._handling is not None:
                self._handling.cancel()

    async def to_its_end(self) -> None:
        started_at = datetime.now(UTC)
        kind = self._worker.kind
        self._handling = asyncio.create_task(self._handle(started_at))
        renewing = asyncio.create_task(self._keep_lease())
        try:
            with (
                metrics.IN_FLIGHT.labels(kind).track_inprogress(),
                metrics.RUN_SECONDS.labels(kind).time(),
                self._worker._cancellations.stoppable(self._command.envelope, lambda: self.stop(_Stop.CANCELLED)),
            ):
                await asyncio.wait({self._handling})
            await self._conclude(self._handling, started_at)
        finally:
            self._handling.cancel()
            renewing.cancel()
            await asyncio.wait({self._handling, renewing})

    async def _conclude(self, handling: asyncio.Task[JobSucceeded], started_at: datetime) -> None:
        worker, lease, leases = self._worker, self._lease, self._worker.leases
        if not handling.cancelled() and isinstance(handling.exception(), ChildStopped):
            self.stop(_Stop.LEAVING)
        # Whatever a handler raises that we have stopped says nothing about its job.
        if handling.cancelled() or (self._why is not None and handling.exception() is not None):
            log.info("job_stopped", why=self._why and self._why.name.lower())
            if self._why is _Stop.CANCELLED:
                if decided := await until_done(leases.settle, lease, []):
                    await until_done(leases.finish, decided)
            elif self._why is _Stop.LEAVING and (given := await until_done(leases.lapse, lease, expired=False)):
                await until_done(put_back, given, leases, worker._outbox)
            return
        decision = self._decision(handling, started_at)
        worker._intake.look()
        await worker.carry_out(decision, self._command, lease)

    def _decision(self, handling: asyncio.Task[JobSucceeded], started_at: datetime) -> Decision:
        worker = self._worker
        error = handling.exception()
        if error is None:
            worker._ceiling.ended()
            return Finish(handling.result())
        if isinstance(error, Undecodable):
            return Bury(forensics(error, Reason.UNDECODABLE, worker._queue))
        if not isinstance(error, Exception):
            raise error
        if not isinstance(error, Verdict):
            log.warning("handler_raised", exc_info=error)
        max_attempts = worker._handler.kind.max_attempts
        attempt = Attempt(self._command.envelope, max_attempts, started_at, worker._queue, worker._rng)
        return judge(error, attempt, worker._ceiling)

    async def _handle(self, started_at: datetime) -> JobSucceeded:
        worker, handler = self._worker, self._worker._handler
        params = await self._command.params(handler.kind.command, worker._outbox.blobs)
        progress = Progress(
            self._command.envelope,
            worker._outbox,
            worker._services.worker,
            first_sequence=running_sequence(self._lease.lapses, 0),
            every_s=_REPORT_EVERY_S,
        )
        progress.tell(JobStarted(started_at=started_at, worker=worker._services.worker))
        task = LongTask(
            params, self._command.envelope, progress.report, self._keep_checkpoint, await self._last_checkpoint()
        )
        try:
            failpoints.reach("worker.before-handle")
            if handler.in_child:
                result = await run_in_child(handler, task)
            else:
                result = (await handler.run(task, worker._resources)).model_dump(mode="json")
        finally:
            await progress.close()
        return JobSucceeded(started_at=started_at, finished_at=datetime.now(UTC), result=result)

    async def _keep_checkpoint(self, content: bytes) -> None:
        path, sha256 = await until_done(self._worker._outbox.blobs.put, content)
        if not await until_done(
            self._worker.leases.keep_checkpoint, self._lease, StoredClaim(path=path, sha256=sha256)
        ):
            self.stop(_Stop.LOST)

    async def _last_checkpoint(self) -> bytes | None:
        kept = self._lease.checkpoint
        if kept is None:
            return None
        try:
            return await until_done(self._worker._outbox.blobs.get, kept.path, kept.sha256)
        except BlobMissing as error:
            log.warning("checkpoint_missing", error=str(error))
            return None

    async def _keep_lease(self) -> None:
        """Renew three times per term. While the store is away nobody else can take the lease either."""
        while True:
            await asyncio.sleep(self._worker._lease_s / 3)
            try:
                if not await self._worker.leases.renew(self._lease):
                    self.stop(_Stop.LOST)
            except StoreUnavailable as error:
                log.warning("lease_not_renewed", error=str(error))


def _wanted(command: Command) -> Wanted:
    envelope = command.envelope
    return Wanted(
        job_id=envelope.job_id,
        kind=envelope.kind,
        generation=envelope.generation,
        attempt=envelope.attempt,
        headers=own_headers(command.headers),
        body=command.body,
        claim=uuid4().hex,
    )
