"""Where the jobs of one kind are served: what both modes need, and what they do alike."""

import random
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import structlog

from consumers.runtime.cancellations import Cancellations, Cancelled
from consumers.runtime.ceiling import Ceiling
from consumers.runtime.command import Command, bury, parcels
from consumers.runtime.handler import Handler
from consumers.runtime.incoming import Undecodable
from consumers.runtime.outcome import Attempt, Decision, Finish, judge, missed_deadline
from consumers.runtime.patience import until_done
from consumers.runtime.pool import Services
from consumers.runtime.verdicts import Verdict
from messaging import names
from messaging.dead_letter import Reason
from messaging.delivery import Delivery
from producers.outbox import Parcel, scheduled
from schemas.envelope import Envelope
from schemas.lifecycle import JobSucceeded
from storage import schedule
from storage.jobs import JobProjection

log = structlog.get_logger()


class Station:
    def __init__(
        self,
        handler: Handler,
        resources: Any,
        services: Services,
        cancellations: Cancellations,
        most_dead_letters: int,
    ) -> None:
        self.handler, self.resources, self.services = handler, resources, services
        self.cancellations = cancellations
        self.ceiling = Ceiling(most_dead_letters if handler.pauses else sys.maxsize)
        self.projection = JobProjection(services.database)
        self.kind, self.queue = handler.kind.name, names.work_queue(handler.kind.name)
        self.outbox, self.worker = services.outbox, services.worker
        self._rng = random.Random()  # noqa: S311  # jitter

    def too_late(self, envelope: Envelope, *, resumed: bool) -> Finish | None:
        """The end of a job whose deadline passed before it could start. One that was started in time and lost its
        worker goes on."""
        if envelope.deadline is None or envelope.deadline > datetime.now(UTC) or resumed:
            return None
        return Finish(missed_deadline(envelope.deadline))

    async def conclude(
        self, running: Awaitable[JobSucceeded], command: Command, started_at: datetime
    ) -> tuple[Decision, list[Parcel]]:
        """What follows from an attempt, and its messages in their order. Raises Cancelled if `running` does."""
        try:
            decision: Decision = Finish(await running)
            messages = await self.parcels(decision, command)  # a result that is no JSON is a failed attempt
            self.ceiling.ended()
        except Cancelled:
            raise
        except Exception as error:
            if not isinstance(error, Verdict | Undecodable):
                log.warning("handler_raised", exc_info=error)
            attempt = Attempt(command.envelope, self.handler.kind, started_at, self.queue, self._rng)
            decision = judge(error, attempt, self.ceiling)
            messages = await self.parcels(decision, command)
        return decision, messages

    async def parcels(self, decision: Decision, command: Command) -> list[Parcel]:
        return await until_done(parcels, decision, command, self.outbox, self.worker)

    async def send(self, parcel: Parcel) -> None:
        """Raises PublishFailed, or StoreUnavailable for what is to wait longer than in any delay tier."""
        if parcel.not_before is None:
            await self.outbox.send(parcel)
        else:
            await schedule.put(self.services.database, scheduled(parcel, parcel.not_before))

    async def give_up(self, delivery: Delivery, error: Exception) -> None:
        """Settle a message that cannot be read, or on which our own code failed."""
        reason = Reason.UNDECODABLE if isinstance(error, Undecodable) else Reason.RUNTIME_FAULT
        await bury(delivery, error, reason, self.queue, self.outbox)
