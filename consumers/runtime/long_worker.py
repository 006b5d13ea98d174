"""Long mode: claim with a lease, acknowledge at once, run, decide, publish.

The broker forgets the job when it is claimed, so its acknowledgement timeout does not matter and nothing waits behind
a job of three hours. From then on the lease holds it: renewed while the handler runs, given back when this process
has to end, taken by the reaper when this process is gone. How the attempt ended is decided by one change of the
lease; whoever was frozen past its lease finds it changed and says nothing.
"""

import asyncio
from uuid import uuid4

import structlog

from consumers.runtime.command import Command
from consumers.runtime.in_flight import InFlight
from consumers.runtime.intake import Intake
from consumers.runtime.long_run import LongRun, Stop
from consumers.runtime.patience import until_done
from consumers.runtime.station import Station
from messaging.delivery import Delivery
from messaging.message import own_headers
from storage.cancellation import end
from storage.leases import Lease, Leases, Wanted
from telemetry import failpoints

log = structlog.get_logger()


class LongWorker:
    """Runs the handler of one long kind, at most `prefetch` jobs at a time."""

    def __init__(self, station: Station, lease_s: float) -> None:
        self.kind, self._station = station.kind, station
        self._leases, self._lease_s = Leases(station.services.database, lease_s), lease_s
        self._deliveries = InFlight()
        self._running: dict[asyncio.Task[None], LongRun] = {}

    async def start(self) -> None:
        station, services = self._station, self._station.services
        subscription = await services.consumer.subscribe(station.queue, 1, self.on_delivery)
        self._intake = Intake(self.kind, station.ceiling, subscription, slots=station.handler.prefetch)
        self._taking = services.background.create_task(self._intake.run())

    async def drain(self) -> None:
        await end(self._taking)
        await self._deliveries.none()
        if self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Give back what is not finished: the next holder goes on from the last checkpoint."""
        await end(self._taking)
        for run in self._running.values():
            run.stop(Stop.LEAVING)
        if self._running:
            await asyncio.wait(self._running)

    def health(self) -> dict[str, object]:
        return {"in_flight": len(self._running), **self._station.ceiling.health()}

    async def on_delivery(self, delivery: Delivery) -> None:
        with self._deliveries:
            try:
                command = Command.of(delivery, self.kind)
                lease = await self._claim(command)
            except Exception as error:  # noqa: BLE001  # whatever it is, the message must be settled
                await self._station.give_up(delivery, error)
            else:
                if lease is not None:
                    await self._begin(command, lease)
            failpoints.reach("claim.before-ack")
            delivery.ack()

    async def _claim(self, command: Command) -> Lease | None:
        """None when there is nothing to do: somebody else has it, or it has ended."""
        if await self._station.cancellations.ended(command.envelope):
            log.info("job_stopped")
            return None
        failpoints.reach("claim.before")
        lease = await until_done(self._leases.claim, _wanted(command), self._station.worker)
        if lease is None:
            log.info("duplicate_command")
        return lease

    async def _begin(self, command: Command, lease: Lease) -> None:
        run = LongRun(self._station, self._leases, command, lease, self._lease_s)
        task = asyncio.create_task(run.to_its_end())
        self._running[task] = run
        task.add_done_callback(self._ended)
        await self._intake.started()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._intake.ended()
        if not task.cancelled() and (error := task.exception()):  # the lease expires, and the reaper sees to the job
            log.error("runtime_fault", exc_info=error)


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
