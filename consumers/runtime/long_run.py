"""One long job under one lease: run it, keep the lease meanwhile, decide its end in the lease, then publish that."""

import asyncio
from datetime import UTC, datetime
from enum import Enum, auto

import structlog

from consumers.runtime.children import ChildStopped, run_in_child
from consumers.runtime.command import Command, observe
from consumers.runtime.handler import LongTask
from consumers.runtime.outcome import Decision, Postpone
from consumers.runtime.patience import until_done
from consumers.runtime.progress import Progress
from consumers.runtime.station import Station
from producers.leases import publish_outbox, put_back, settlement
from producers.outbox import Parcel
from schemas.lifecycle import JobStarted, JobSucceeded, running_sequence
from storage.blobs import BlobMissing
from storage.database import StoreUnavailable
from storage.documents import StoredClaim
from storage.leases import Lease, Leases
from telemetry import failpoints, metrics

log = structlog.get_logger()

_REPORT_EVERY_S = 0.5


class Stop(Enum):
    CANCELLED = auto()
    LOST = auto()
    """The lease is somebody else's."""
    LEAVING = auto()
    """This process has to end."""


class LongRun:
    def __init__(self, station: Station, leases: Leases, command: Command, lease: Lease, lease_s: float) -> None:
        self._station, self._leases, self._lease, self._lease_s = station, leases, lease, lease_s
        envelope = command.envelope.model_copy(update={"epoch": lease.epoch})
        self._command = Command(envelope, command.headers, command.body, command.queue)
        self._handling: asyncio.Task[JobSucceeded] | None = None
        self._why: Stop | None = None
        self._finish = asyncio.Event()

    def stop(self, why: Stop) -> None:
        if self._why is None:
            self._why = why
            if self._handling is not None:
                self._handling.cancel()

    async def to_its_end(self) -> None:
        started_at, station, envelope = datetime.now(UTC), self._station, self._command.envelope
        late = station.too_late(envelope, resumed=self._lease.resumed)
        if late is not None:
            await self._carry_out(late, await station.parcels(late, self._command))
            return
        metrics.QUEUE_WAIT_SECONDS.labels(station.kind).observe((started_at - envelope.time).total_seconds())
        self._handling = asyncio.create_task(self._handle(started_at))
        renewing = asyncio.create_task(self._keep_lease())
        try:
            with (
                metrics.IN_FLIGHT.labels(station.kind).track_inprogress(),
                metrics.RUN_SECONDS.labels(station.kind).time(),
                station.cancellations.stoppable(envelope, lambda: self.stop(Stop.CANCELLED)),
            ):
                await asyncio.wait({self._handling})
            await self._conclude(self._handling, started_at)
        finally:
            self._handling.cancel()
            renewing.cancel()
            await asyncio.wait({self._handling, renewing})

    async def _conclude(self, handling: asyncio.Task[JobSucceeded], started_at: datetime) -> None:
        if not handling.cancelled() and isinstance(handling.exception(), ChildStopped):
            self.stop(Stop.LEAVING)
        # Whatever a handler raises that we have stopped says nothing about its job.
        if handling.cancelled() or (self._why is not None and handling.exception() is not None):
            await self._let_go()
            return
        decision, messages = await self._station.conclude(handling, self._command, started_at)
        await self._carry_out(decision, messages)

    async def _let_go(self) -> None:
        lease, leases = self._lease, self._leases
        log.info("job_stopped", why=self._why and self._why.name.lower())
        if self._why is Stop.CANCELLED:
            if decided := await until_done(leases.settle, lease, []):
                await until_done(leases.finish, decided)
        elif self._why is Stop.LEAVING and (given := await until_done(leases.lapse, lease, expired=False)):
            await until_done(put_back, given, leases, self._station.outbox)

    async def _carry_out(self, decision: Decision, messages: list[Parcel]) -> None:
        """Decide it in the lease, then publish it."""
        lease, leases, outbox = self._lease, self._leases, self._station.outbox
        failpoints.reach("settle.before")
        if isinstance(decision, Postpone):  # the attempt is still to be run, so its lease must not be done with
            if lapsed := await until_done(leases.lapse, lease, expired=False):
                await until_done(put_back, lapsed, leases, outbox, *messages)
        elif settled := await until_done(leases.settle, lease, settlement(messages)):
            failpoints.reach("settle.before-publish")
            await until_done(publish_outbox, settled, leases, outbox)
        else:
            log.warning("lease_lost", epoch=lease.epoch)
            return
        observe(decision, self._station.kind, self._station.queue)

    async def _handle(self, started_at: datetime) -> JobSucceeded:
        station, handler = self._station, self._station.handler
        params = await self._command.params(handler.kind.command, station.outbox.blobs)
        progress = Progress(
            self._command.envelope,
            station.outbox,
            station.worker,
            first_sequence=running_sequence(self._lease.lapses, 0),
            every_s=_REPORT_EVERY_S,
        )
        progress.tell(JobStarted(started_at=started_at, worker=station.worker))
        last = await self._last_checkpoint()
        envelope = self._command.envelope
        task = LongTask(params, envelope, progress.report, self._keep_checkpoint, last, self._finish)
        try:
            failpoints.reach("worker.before-handle")
            if handler.in_child:
                result = await run_in_child(handler, task)
            else:
                result = (await handler.run(task, station.resources)).model_dump(mode="json")
        finally:
            await progress.close()
        return JobSucceeded(started_at=started_at, finished_at=datetime.now(UTC), result=result)

    async def _keep_checkpoint(self, content: bytes) -> None:
        path, sha256 = await until_done(self._station.outbox.blobs.put, content)
        claim = StoredClaim(path=path, sha256=sha256)
        if not await until_done(self._leases.keep_checkpoint, self._lease, claim):
            self.stop(Stop.LOST)

    async def _last_checkpoint(self) -> bytes | None:
        kept = self._lease.checkpoint
        if kept is None:
            return None
        try:
            return await until_done(self._station.outbox.blobs.get, kept.path, kept.sha256)
        except BlobMissing as error:
            log.warning("checkpoint_missing", error=str(error))
            return None

    async def _keep_lease(self) -> None:
        """Renew three times per term. While the store is away nobody else can take the lease either."""
        while True:
            await self._look_whether_to_finish()
            await asyncio.sleep(self._lease_s / 3)
            try:
                if not await self._leases.renew(self._lease):
                    self.stop(Stop.LOST)
            except StoreUnavailable as error:
                log.warning("lease_not_renewed", error=str(error))

    async def _look_whether_to_finish(self) -> None:
        if not self._station.handler.kind.finishes_early or self._finish.is_set():
            return
        envelope = self._command.envelope
        try:
            if await self._station.projection.finish_asked(envelope.job_id, envelope.generation):
                log.info("finishing")
                self._finish.set()
        except StoreUnavailable as error:  # asked again with the next renewal
            log.warning("finish_unknown", error=str(error))
