"""Short mode: hold the message while its handler runs. Decode, handle, publish the outcome, then acknowledge.

A crash in between redelivers the message, and a second outcome folds into nothing.
"""

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from consumers.runtime.cancellations import Cancellations
from consumers.runtime.ceiling import Ceiling
from consumers.runtime.command import Command, observe, parcels
from consumers.runtime.handler import Handler, Task
from consumers.runtime.incoming import Undecodable
from consumers.runtime.intake import Intake
from consumers.runtime.outcome import Attempt, Bury, Decision, Finish, Retry, forensics, judge, missed_deadline
from consumers.runtime.patience import until_done
from consumers.runtime.pool import Services
from consumers.runtime.progress import Progress
from consumers.runtime.verdicts import Verdict
from messaging import names
from messaging.consumer import Delivery
from messaging.dead_letter import Reason
from producers.outbox import Parcel
from schemas.lifecycle import JobSucceeded
from storage.cancellation import end
from telemetry import failpoints, metrics

log = structlog.get_logger()


class Cancelled(Exception):
    """Somebody cancelled the job while its handler ran."""


class Worker:
    """Runs the handler of one kind, as many jobs at a time as its prefetch."""

    def __init__(
        self,
        handler: Handler,
        resources: Any,
        services: Services,
        cancellations: Cancellations,
        most_dead_letters: int,
    ) -> None:
        self.kind = handler.kind.name
        self._handler, self._resources, self._services = handler, resources, services
        self._cancellations, self._ceiling = cancellations, Ceiling(most_dead_letters)
        self._outbox = services.outbox
        self._queue = names.work_queue(self.kind)
        self._rng = random.Random()  # noqa: S311  # jitter
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0

    async def start(self) -> None:
        consumer = self._services.consumer
        subscription = await consumer.subscribe(self._queue, self._handler.prefetch, self.on_delivery, careful=True)
        self._intake = Intake(self.kind, self._ceiling, subscription)
        self._taking = self._services.background.create_task(self._intake.run())

    async def drain(self) -> None:
        await end(self._taking)
        await self._idle.wait()

    async def close(self) -> None:
        await end(self._taking)

    def health(self) -> dict[str, object]:
        return {"in_flight": self._in_flight, **self._ceiling.health()}

    async def on_delivery(self, delivery: Delivery) -> None:
        self._in_flight += 1
        self._idle.clear()
        try:
            await self._settle(delivery)
        except Exception as error:
            log.exception("runtime_fault")  # ours, not the handler's: the message must be settled all the same
            await self._bury(delivery, error, Reason.RUNTIME_FAULT)
            delivery.ack()
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _settle(self, delivery: Delivery) -> None:
        try:
            await self._attempt(Command.of(delivery, self.kind), interrupted=delivery.delivered_before)
        except Undecodable as error:
            await self._bury(delivery, error, Reason.UNDECODABLE)
        except Cancelled:
            log.info("job_stopped")
        delivery.ack()

    async def _attempt(self, command: Command, *, interrupted: bool) -> None:
        started_at, envelope = datetime.now(UTC), command.envelope
        if await self._cancellations.ended(envelope):
            raise Cancelled
        # What was started in time and lost its worker goes on.
        if envelope.deadline is not None and envelope.deadline <= started_at and not interrupted:
            await self._carry_out(Finish(missed_deadline(envelope.deadline)), command)
            return
        metrics.QUEUE_WAIT_SECONDS.labels(self.kind).observe((started_at - envelope.time).total_seconds())
        try:
            decision: Decision = Finish(await self._run(command, started_at))
            published = await self._parcels(decision, command)  # a result that is no JSON is a failed attempt
            self._ceiling.ended()
        except (Undecodable, Cancelled):
            raise
        except Exception as error:
            if not isinstance(error, Verdict):
                log.warning("handler_raised", exc_info=error)
            attempt = Attempt(envelope, self._handler.kind.max_attempts, started_at, self._queue, self._rng)
            decision = judge(error, attempt, self._ceiling)
            published = await self._parcels(decision, command)
        self._intake.look()
        await self._publish(decision, published)

    async def _run(self, command: Command, started_at: datetime) -> JobSucceeded:
        envelope = command.envelope
        params = await command.params(self._handler.kind.command, self._outbox.blobs)
        progress = Progress(envelope, self._outbox, self._services.worker)
        progress.announce(started_at)
        started = time.perf_counter()
        stopped = False
        running = asyncio.current_task()

        def stop() -> None:
            nonlocal stopped
            if running is not None:
                stopped = running.cancel()

        try:
            with (
                metrics.IN_FLIGHT.labels(self.kind).track_inprogress(),
                self._cancellations.stoppable(envelope, stop),
            ):
                failpoints.reach("worker.before-handle")
                result = await self._handler.run(Task(params, envelope, progress.report), self._resources)
        except asyncio.CancelledError:
            if not stopped or running is None or running.uncancel():
                raise  # the process lets go of the message
            raise Cancelled from None
        finally:
            await progress.close()
            metrics.RUN_SECONDS.labels(self.kind).observe(time.perf_counter() - started)
        # Constructed, not validated: the result is an instance of a contract already.
        return JobSucceeded.model_construct(
            started_at=started_at, finished_at=datetime.now(UTC), result=result.model_dump(mode="json")
        )

    async def _carry_out(self, decision: Decision, command: Command) -> None:
        await self._publish(decision, await self._parcels(decision, command))

    async def _parcels(self, decision: Decision, command: Command) -> list[Parcel]:
        return await until_done(parcels, decision, command, self._outbox, self._services.worker)

    async def _publish(self, decision: Decision, published: list[Parcel]) -> None:
        before = _FAILPOINTS.get(type(decision), "worker.before-outcome")
        for parcel in published:
            failpoints.reach(before)
            await until_done(self._outbox.send, parcel)
        failpoints.reach("worker.after-outcome")
        observe(decision, self.kind, self._queue)

    async def _bury(self, delivery: Delivery, error: Exception, reason: Reason) -> None:
        bury = Bury(forensics(error, reason, self._queue))
        failpoints.reach("worker.before-bury")
        await until_done(self._outbox.bury, delivery.headers, delivery.body, bury.forensics, delivery.routing_key)
        observe(bury, self.kind, self._queue)


_FAILPOINTS: dict[type[Decision], str] = {Retry: "worker.before-retry", Bury: "worker.before-bury"}
