"""The ledger's loop: collect, coalesce per job, write, feed, and only then acknowledge.

A command whose outcome is about to follow is worth waiting for: folded together they are one insert instead of an
insert and an update, which is a fifth of the store's work. So commands linger for a moment before they are written,
on the broker's account, while events are written at once and take their command along. The live feed shows what
is new sooner.

Two writes may be under way, so that an event need not wait for the one before it; what comes meanwhile forms the
next. Never are both for one job: its changes reach the feed in their order.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import NamedTuple

import structlog

from consumers.ledger.catalog import Catalog, CatalogEntry, catalog_entry, command_entry
from consumers.ledger.fold import EVENT_OF_TYPE, command_patch, event_patch, held, shown
from consumers.ledger.pace import Pace
from consumers.ledger.telling import tell
from consumers.runtime.command import bury
from consumers.runtime.in_flight import InFlight
from consumers.runtime.incoming import Undecodable, read_body, read_envelope
from consumers.runtime.patience import until_done
from consumers.runtime.pool import Services
from messaging import names
from messaging.dead_letter import Reason
from messaging.delivery import Delivery
from messaging.message import claim_in
from schemas.envelope import Envelope, message_type
from schemas.lifecycle import JobFinishAsked, JobState
from storage.cancellation import end
from storage.event_log import Told
from storage.feed_writer import FeedWriter, open_feed_writer
from storage.jobs import JobPatch, JobProjection
from telemetry import failpoints, metrics

log = structlog.get_logger()

PREFETCH = 4_000
LINGER_S = 0.25
SHOW_AFTER_S = 0.02  # most of the short jobs have ended by then, and are shown once instead of twice
PACE_INTERVAL_S = 1.0
MAX_WRITES = 2
MAX_BULK = 200  # jobs in one write: a slow store must end it within its time-out, also when all of them collide


@dataclass
class _Pending:
    """What is to be folded for one job, and the deliveries that it settles."""

    patch: JobPatch
    unfed: JobPatch | None
    """What the live feed does not show yet."""
    since: float = field(default_factory=time.monotonic)
    """When the first of them came."""
    deliveries: list[Delivery] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    made: CatalogEntry | None = None
    """What goes into the catalog or the request log if the job succeeds."""
    told: list[Told] = field(default_factory=list)
    """For those who listen."""

    @property
    def makes(self) -> CatalogEntry | None:
        """What others must find before they see that the job has ended."""
        succeeded = self.patch.fields["status"] is JobState.SUCCEEDED
        return self.made if succeeded and self.made is not None and self.made.listed else None


class _Read(NamedTuple):
    """What a message means."""

    patch: JobPatch | None
    """None for what changes nothing that is folded."""
    made: CatalogEntry | None = None
    told: Told | None = None


class Ledger:
    def __init__(self, services: Services, projection: JobProjection, feed: FeedWriter) -> None:
        self._services, self._projection, self._feed = services, projection, feed
        self._catalog = Catalog(services.database, services.outbox.blobs)
        self._pace, self._next_report = Pace(), 0.0
        self._unsettled = InFlight()
        self._arrived: list[Delivery] = []
        self._wake = asyncio.Event()
        self._lingering: dict[str, _Pending] = {}  # in order of arrival, so in order of falling due
        self._unshown: dict[str, _Pending] = {}  # those of them that the feed does not show yet, in the same order
        self._due: dict[str, _Pending] = {}
        self._writing: dict[str, _Pending] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._draining = False

    def on_delivery(self, delivery: Delivery) -> None:
        self._unsettled.add()
        self._arrived.append(delivery)
        self._wake.set()

    async def run(self) -> None:
        """Fold for ever."""
        while True:
            await self._sleep_until_due()
            arrived, self._arrived = self._arrived, []
            for delivery in arrived:
                await self._admit(delivery)
            await self._show_new_commands()
            self._collect_due()
            if bulk := self._next_bulk():
                self._writing |= {pending.patch.job_id: pending for pending in bulk}
                self._writes.add(self._services.background.create_task(self._write(bulk)))

    async def drain(self) -> None:
        """Write what lingers and return when all that was taken is settled."""
        self._draining = True
        self._wake.set()
        await self._unsettled.none()

    def health(self) -> dict[str, object]:
        """`behind_s`: how long the oldest message that is not folded has been here."""
        held = [pending.since for pending in (*self._writing.values(), *self._due.values())]
        held += [pending.since for pending in self._lingering.values()]
        behind_s = time.monotonic() - min(held) if held else 0.0
        return {"unsettled": self._unsettled.count, "behind_s": round(behind_s, 1)}

    async def _sleep_until_due(self) -> None:
        if next(self._writable(), None):
            return
        firsts = ((self._lingering, LINGER_S), (self._unshown, SHOW_AFTER_S))
        due_at = min((next(iter(jobs.values())).since + after_s for jobs, after_s in firsts if jobs), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if due_at is None else max(0.0, due_at - time.monotonic())):
                await self._wake.wait()
        self._wake.clear()

    async def _admit(self, delivery: Delivery) -> None:
        try:
            envelope = read_envelope(delivery.headers)
            patch, made, told = await until_done(self._read, envelope, delivery)
        except Undecodable as error:
            await self._bury(delivery, error)
            self._settle([delivery])
            return
        if patch is None:
            self._settle([delivery])
            return
        self._note_pace(patch, envelope.time)
        pending = self._pending(patch)
        pending.deliveries.append(delivery)
        pending.times.append(envelope.time)
        if made is not None and (pending.made is None or made.generation > pending.made.generation):
            pending.made = made
        if told is not None:
            pending.told.append(told)

    def _note_pace(self, patch: JobPatch, told_at: datetime) -> None:
        if patch.birth is not None:
            self._pace.submitted(patch.job_id, told_at)
        elif patch.fields["status"].terminal:
            self._pace.ended(patch.job_id, patch.fields["kind"], told_at)

    async def _read(self, envelope: Envelope, delivery: Delivery) -> _Read:
        claim = claim_in(delivery.headers)
        event_type = EVENT_OF_TYPE.get(envelope.type)
        if event_type is None:
            if envelope.type != message_type(envelope.kind):
                raise Undecodable(f"{envelope.type} is neither an event that we know nor a command of its kind")
            return _Read(command_patch(envelope, delivery.body, claim), command_entry(envelope))
        event = await read_body(event_type, envelope, delivery.headers, delivery.body, self._services.outbox.blobs)
        if isinstance(event, JobFinishAsked):
            await self._projection.ask_to_finish(envelope.job_id, envelope.generation)
            return _Read(None)
        patch = event_patch(envelope, event, claim)
        return _Read(patch, catalog_entry(envelope, event), tell(envelope, event, delivery.body, patch.order))

    def _pending(self, patch: JobPatch) -> _Pending:
        """Where this patch joins what is there for its job: events make it due, commands may linger."""
        job_id = patch.job_id
        pending = self._lingering.get(job_id) or self._due.get(job_id)
        if pending is None:
            pending = _Pending(patch, patch)
        else:
            pending.patch = pending.patch.then(patch)
            pending.unfed = patch if pending.unfed is None else pending.unfed.then(patch)
        if patch.birth is None or job_id in self._due or job_id in self._writing:
            self._lingering.pop(job_id, None)
            self._unshown.pop(job_id, None)
            self._due[job_id] = pending
        elif job_id not in self._lingering:
            self._lingering[job_id] = self._unshown[job_id] = pending
        return pending

    async def _show_new_commands(self) -> None:
        """A lingering job is on the broker's disk: to show it as queued is no lie, though the store has it later."""
        new = self._take_older(self._unshown, SHOW_AFTER_S)
        await self._feed.append([pending.unfed for pending in new.values() if pending.unfed is not None])
        for pending in new.values():
            pending.unfed = None

    def _collect_due(self) -> None:
        self._due |= self._take_older(self._lingering, 0.0 if self._draining else LINGER_S)

    @staticmethod
    def _take_older(jobs: dict[str, _Pending], seconds: float) -> dict[str, _Pending]:
        """Take those from `jobs` that have been here for so long; the oldest come first."""
        since = time.monotonic() - seconds
        older = dict(takewhile(lambda item: item[1].since <= since, jobs.items()))
        for job_id in older:
            del jobs[job_id]
        return older

    def _writable(self) -> Iterator[str]:
        """Jobs whose changes can be written now."""
        if len(self._writes) < MAX_WRITES:
            yield from (job_id for job_id in self._due if job_id not in self._writing)

    def _next_bulk(self) -> list[_Pending]:
        return [self._due.pop(job_id) for job_id in list(islice(self._writable(), MAX_BULK))]

    async def _write(self, bulk: list[_Pending]) -> None:
        await self._fold(bulk)
        for pending in bulk:
            del self._writing[pending.patch.job_id]
        self._writes -= {asyncio.current_task()}
        self._wake.set()

    async def stop_writing(self) -> None:
        """Of what was not drained, which the broker delivers again."""
        for write in list(self._writes):
            await end(write)

    async def _fold(self, bulk: list[_Pending]) -> None:
        failpoints.reach("ledger.before-fold")
        await self._list(bulk)
        result = await until_done(self._projection.fold, [pending.patch for pending in bulk])
        reasons = {patch.job_id: reason for patch, reason in result.unfit}
        stand = [pending for pending in bulk if pending.patch.job_id not in reasons]
        told = {pending.patch.job_id: pending.told for pending in stand}
        await self._feed.append([pending.unfed for pending in stand if pending.unfed is not None], told)
        results = [pending.made for pending in bulk if pending.made is not None]
        await until_done(self._catalog.log, results)  # after the feed: nobody waits for it
        for pending in bulk:
            if reason := reasons.get(pending.patch.job_id):
                for delivery in pending.deliveries:
                    await self._bury(delivery, Undecodable(f"the store cannot take it: {reason}"))
        await self._observe(bulk)
        failpoints.reach("ledger.before-ack")
        self._settle([delivery for pending in bulk for delivery in pending.deliveries])

    async def _list(self, bulk: list[_Pending]) -> None:
        """Whoever sees that a job has succeeded also finds what it made, and what a cancelled job made is nowhere. So
        its end is held first, which shuts out every other; what it made is added; and then the end may be seen."""
        making = [pending for pending in bulk if pending.makes is not None]
        if not making:
            return
        await until_done(self._projection.fold, [held(pending.patch) for pending in making])
        for pending in making:
            ended = shown(pending.patch)
            found = await until_done(self._projection.standing, ended.job_id)
            standing = found and (found.status, found.order)
            if standing == (JobState.RUNNING, pending.patch.order) and pending.makes is not None:
                await until_done(self._catalog.add, pending.makes)
            elif standing != (JobState.SUCCEEDED, ended.order):
                continue  # it came too late
            pending.patch, pending.unfed = ended, pending.unfed and shown(pending.unfed)

    def _settle(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            delivery.ack()
        self._unsettled.add(-len(deliveries))

    async def _observe(self, bulk: list[_Pending]) -> None:
        now = datetime.now(UTC)
        for pending in bulk:
            for told_at in pending.times:
                metrics.FOLD_LAG_SECONDS.observe((now - told_at).total_seconds())
        metrics.FOLD_SIZE.observe(sum(len(pending.deliveries) for pending in bulk))
        if self._pace.seconds and time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + PACE_INTERVAL_S
            await self._feed.report_pace(self._pace.seconds)

    async def _bury(self, delivery: Delivery, error: Undecodable) -> None:
        """A poison event must not stop the ledger, and must not be lost."""
        await bury(delivery, error, Reason.UNDECODABLE, names.LEDGER, self._services.outbox)


class LedgerPool:
    name = "ledger"

    @asynccontextmanager
    async def open(self, services: Services) -> AsyncIterator[Ledger]:
        storage = services.storage
        async with open_feed_writer(storage) as feed:
            ledger = Ledger(services, JobProjection(services.database), feed)
            folding = services.background.create_task(ledger.run())
            await services.consumer.subscribe(names.LEDGER, PREFETCH, ledger.on_delivery)
            try:
                yield ledger
            finally:
                await end(folding)
                await ledger.stop_writing()
