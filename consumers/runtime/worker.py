"""Short mode: hold the message while its handler runs. Decode, handle, publish the outcome, then acknowledge.

A crash in between redelivers the message, and a second outcome folds into nothing.
"""

import asyncio
import time
from datetime import UTC, datetime

import structlog

from consumers.runtime.cancellations import Cancelled
from consumers.runtime.command import Command, observe
from consumers.runtime.handler import Task
from consumers.runtime.in_flight import InFlight
from consumers.runtime.intake import Intake
from consumers.runtime.outcome import Bury, Decision, Retry
from consumers.runtime.patience import until_done
from consumers.runtime.progress import Progress
from consumers.runtime.station import Station
from messaging.delivery import Delivery
from producers.outbox import Parcel
from schemas.lifecycle import JobSucceeded
from storage.cancellation import end
from telemetry import failpoints, metrics

log = structlog.get_logger()


class Worker:
    """Runs the handler of one kind, as many jobs at a time as its prefetch."""

    def __init__(self, station: Station) -> None:
        self.kind, self._station = station.kind, station
        self._in_flight = InFlight()
        self._waited = metrics.QUEUE_WAIT_SECONDS.labels(self.kind)
        self._ran, self._running = metrics.RUN_SECONDS.labels(self.kind), metrics.IN_FLIGHT.labels(self.kind)

    async def start(self) -> None:
        station, services = self._station, self._station.services
        prefetch = station.handler.prefetch
        subscription = await services.consumer.subscribe(station.queue, prefetch, self.on_delivery, careful=True)
        self._intake = Intake(self.kind, station.ceiling, subscription)
        self._taking = services.background.create_task(self._intake.run())

    async def drain(self) -> None:
        await end(self._taking)
        await self._in_flight.none()

    async def close(self) -> None:
        await end(self._taking)

    def health(self) -> dict[str, object]:
        return {"in_flight": self._in_flight.count, **self._station.ceiling.health()}

    async def on_delivery(self, delivery: Delivery) -> None:
        with self._in_flight:
            try:
                await self._attempt(Command.of(delivery, self.kind), interrupted=delivery.delivered_before)
            except Cancelled:
                log.info("job_stopped")
            except Exception as error:  # noqa: BLE001  # whatever it is, the message must be settled
                failpoints.reach("worker.before-bury")
                await self._station.give_up(delivery, error)
            delivery.ack()

    async def _attempt(self, command: Command, *, interrupted: bool) -> None:
        started_at, envelope, station = datetime.now(UTC), command.envelope, self._station
        if await station.cancellations.ended(envelope):
            raise Cancelled
        decision: Decision | None = station.too_late(envelope, resumed=interrupted)
        if decision is not None:
            messages = await station.parcels(decision, command)
        else:
            self._waited.observe((started_at - envelope.time).total_seconds())
            decision, messages = await station.conclude(self._run(command, started_at), command, started_at)
            self._intake.look()
        await self._publish(decision, messages)

    async def _run(self, command: Command, started_at: datetime) -> JobSucceeded:
        envelope = command.envelope
        station = self._station
        params = await command.params(station.handler.kind.command, station.outbox.blobs)
        progress = Progress(envelope, station.outbox, station.worker)
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
                self._running.track_inprogress(),
                station.cancellations.stoppable(envelope, stop),
            ):
                failpoints.reach("worker.before-handle")
                result = await station.handler.run(Task(params, envelope, progress.report), station.resources)
        except asyncio.CancelledError:
            if not stopped or running is None or running.uncancel():
                raise  # the process lets go of the message
            raise Cancelled from None
        finally:
            await progress.close()
            self._ran.observe(time.perf_counter() - started)
        # Constructed, not validated: the result is an instance of a contract already.
        return JobSucceeded.model_construct(
            started_at=started_at, finished_at=datetime.now(UTC), result=result.model_dump(mode="json")
        )

    async def _publish(self, decision: Decision, messages: list[Parcel]) -> None:
        before = _FAILPOINTS.get(type(decision), "worker.before-outcome")
        for message in messages:
            failpoints.reach(before)
            await until_done(self._station.send, message)
        failpoints.reach("worker.after-outcome")
        observe(decision, self.kind, self._station.queue)


_FAILPOINTS: dict[type[Decision], str] = {Retry: "worker.before-retry", Bury: "worker.before-bury"}
