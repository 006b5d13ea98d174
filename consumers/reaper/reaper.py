"""What nobody else would do: end leases whose holder is gone, publish what a dead worker decided, abort what waited
past its deadline, publish what was scheduled for later, and what nothing holds, remove blobs that nothing names.
Several reapers may compete: a lease changes under a guard, which one of them passes, and what they tell twice folds
into nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from consumers.reaper.settings import ReaperSettings
from consumers.runtime.outcome import missed_deadline
from consumers.runtime.patience import PASSING
from consumers.runtime.pool import Services
from consumers.settings import CODE_VERSION, HOST, WORKER, ConsumerSettings
from messaging import names
from messaging.dead_letter import Forensics, Reason
from messaging.inspection import Inspector, open_inspector
from messaging.settings import BrokerSettings
from messaging.topology import WORK_DELIVERY_LIMIT
from producers.catalog import CATALOGED
from producers.jobs import command_known_as
from producers.leases import publish_outbox, put_back, settlement
from producers.outbox import dead_letter, due
from producers.reconciliation import reconcile
from storage import schedule
from storage.blobs import BlobStore
from storage.cancellation import end
from storage.documents import LeaseState
from storage.jobs import JobProjection
from storage.leases import Lease, Leases
from storage.sweeping import sweep
from telemetry import metrics

log = structlog.get_logger()

_AT_ONCE = 100
_SPARED_FOR = 5  # margins, from one republishing of a job to the next
# From a deadline until the reaper acts on it. A worker that started the job in time has told so by then, unless the
# ledger is far behind.
_DEADLINE_GRACE = timedelta(seconds=5)


class Reaper:
    def __init__(self, services: Services, inspector: Inspector, settings: ReaperSettings) -> None:
        self._outbox, self._worker, self._database = services.outbox, services.worker, services.database
        self._inspector = inspector
        self._blobs = BlobStore(services.storage.blobs)
        self._leases = Leases(services.database, ConsumerSettings().lease_s)
        self._projection = JobProjection(services.database)
        self._settings = settings
        self._last_round: datetime | None = None
        self._spared: dict[str, float] = {}

    async def run(self) -> None:
        while True:
            await self._round(self._reap_leases)
            await self._round(self._abort_missed)
            await self._round(self._release)
            self._last_round = datetime.now(UTC)
            await asyncio.sleep(self._settings.interval_s)

    async def run_reconciliation(self) -> None:
        """Apart from the rest, since publishing thousands of jobs again takes longer than a lease."""
        while True:
            await asyncio.sleep(self._settings.reconcile_every_s)
            await self._round(self._reconcile)

    async def run_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sweep_every_s)
            await self._round(self._sweep)

    async def drain(self) -> None:
        """Nothing is held: what is interrupted is found again."""

    def health(self) -> dict[str, object]:
        return {"last_round": self._last_round and self._last_round.isoformat()}

    async def _round(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except PASSING as error:
            log.warning("waiting", error=str(error))

    async def _reap_leases(self) -> None:
        for lease in await self._leases.expired(_AT_ONCE):
            match lease.state:
                case LeaseState.RUNNING:
                    await self._lapsed(lease)
                case LeaseState.LAPSED:  # whoever was about to publish the command again is gone
                    if await self._leases.postpone(lease):
                        await put_back(lease, self._leases, self._outbox)
                case LeaseState.SETTLING:  # whoever was about to publish the outcome is gone
                    if await self._leases.postpone(lease):
                        await publish_outbox(lease, self._leases, self._outbox)

    async def _lapsed(self, lease: Lease) -> None:
        lapsed = await self._leases.lapse(lease, expired=True)
        if lapsed is None:
            return
        metrics.LEASES_LAPSED.labels(lease.kind).inc()
        log.warning("lease_lapsed", job_id=lease.job_id, kind=lease.kind, epoch=lease.epoch, lapses=lapsed.lapses)
        if lapsed.lapses <= WORK_DELIVERY_LIMIT:
            await put_back(lapsed, self._leases, self._outbox)
            return
        letter = dead_letter(lapsed.headers, lapsed.body, _kills_worker(lapsed), lapsed.kind)
        if settled := await self._leases.settle(lapsed, settlement([letter])):
            await publish_outbox(settled, self._leases, self._outbox)

    async def _abort_missed(self) -> None:
        for job_id, waiting in await self._projection.overdue(datetime.now(UTC) - _DEADLINE_GRACE, _AT_ONCE):
            if waiting is not None:
                event = missed_deadline(waiting["deadline"])
                await self._outbox.tell(command_known_as(job_id, waiting).event(event, source=self._worker), event)
                log.info("deadline_missed", job_id=job_id, kind=waiting["kind"])
            await self._projection.looked_at(job_id)

    async def _release(self) -> None:
        """Published before it is forgotten: what is published twice is one attempt all the same."""
        for found in await schedule.due(self._database, datetime.now(UTC), _AT_ONCE):
            await self._outbox.send(due(found))
            await schedule.remove(self._database, found)

    async def _reconcile(self) -> None:
        """What was published again a while ago may wait behind much else: let it, or the heap only grows."""
        margin_s, now = self._settings.orphan_after_s, time.monotonic()
        spared = {job_id for job_id, until in self._spared.items() if until > now}
        publisher = self._outbox.publisher
        stock = await reconcile(self._database, self._inspector, publisher, self._worker, margin_s, spared)
        again = now + _SPARED_FOR * margin_s
        fresh = {orphan.job.id: again for orphan in stock.orphans if orphan.job.id not in spared}
        self._spared = {job_id: self._spared[job_id] for job_id in spared} | fresh

    async def _sweep(self) -> None:
        unnamed_for = timedelta(seconds=self._settings.unnamed_after_s)
        swept = await sweep(self._database, self._blobs, CATALOGED, unnamed_for, datetime.now(UTC))
        if swept.blobs:
            log.info("swept", blobs=swept.blobs, bytes=swept.bytes)


def _kills_worker(lease: Lease) -> Forensics:
    return Forensics(
        reason=Reason.KILLS_WORKER,
        queue=names.work_queue(lease.kind),
        at=datetime.now(UTC).isoformat(),
        error_type="WorkerKilled",
        error_detail=f"the workers of {lease.lapses} leases in a row went away",
        fingerprint="worker-killed",
        host=HOST,
        worker=WORKER,
        code_version=CODE_VERSION,
    )


class ReaperPool:
    name = "reaper"

    @asynccontextmanager
    async def open(self, services: Services) -> AsyncIterator[Reaper]:
        async with open_inspector(BrokerSettings(), f"{self.name} {services.worker}") as inspector:
            reaper = Reaper(services, inspector, ReaperSettings())
            works = (reaper.run, reaper.run_reconciliation, reaper.run_sweeping)
            tasks = [services.background.create_task(work()) for work in works]
            try:
                yield reaper
            finally:
                for task in tasks:
                    await end(task)
