"""From the end of a job to one command for each who wants to be told.

What arrives while the last batch is seen to forms the next one: it asks for everybody's rules once, after its events
arrived, so that whoever subscribed before a job ended is told of it. An event is acknowledged when every command of
it is on the broker's disk; delivered again, it makes the same commands, which are the same jobs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from consumers.runtime.incoming import Undecodable, read_envelope
from consumers.runtime.patience import until_done
from consumers.runtime.pool import Services
from messaging import names
from messaging.delivery import Delivery
from producers.notifications import Receiver, Rules, event_of, notification_id, rules, tell, wanted_keys
from schemas.envelope import Envelope, message_type
from schemas.jobs.notification_send import NOTIFICATION_SEND, SendNotification
from schemas.lifecycle import LIFECYCLE_EVENTS

log = structlog.get_logger()

PREFETCH = 500
_BIND_EVERY_S = 30.0
_FACT_OF = {message_type(event.contract_name): event.fact for event in LIFECYCLE_EVENTS if event.state.terminal}


@dataclass(frozen=True)
class Ended:
    """An event that says that a job has ended."""

    delivery: Delivery
    envelope: Envelope
    key: str


class Listener:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._arrived: list[Ended] = []
        self._wake = asyncio.Event()

    def on_delivery(self, delivery: Delivery) -> None:
        ended = _ended(delivery)
        if ended is None:
            delivery.ack()
            return
        self._arrived.append(ended)
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._arrived = self._arrived, []
            await self._tell(batch)

    async def run_bindings(self) -> None:
        """The broker may have lost them, with everything else that it had."""
        while True:
            keys = await until_done(wanted_keys, self._services.database)
            await until_done(self._services.consumer.bindings.bind, names.NOTIFICATIONS, names.EVENTS, sorted(keys))
            await asyncio.sleep(_BIND_EVERY_S)

    async def _tell(self, batch: Sequence[Ended]) -> None:
        principals = sorted({ended.envelope.principal for ended in batch})
        found = await until_done(rules, self._services.database, principals)
        await asyncio.gather(*(self._tell_all(ended, found) for ended in batch))

    async def _tell_all(self, ended: Ended, found: Rules) -> None:
        receivers = found.receivers(ended.envelope.principal, ended.key)
        await asyncio.gather(*(until_done(self._request, ended.envelope, receiver) for receiver in receivers))
        ended.delivery.ack()

    async def _request(self, ended: Envelope, receiver: Receiver) -> None:
        event = event_of(ended.job_id, ended.generation)
        command = SendNotification(
            channel=receiver.channel,
            target=receiver.target,
            event=event,
            job_id=ended.job_id,
            generation=ended.generation,
        )
        await tell(
            self._services.outbox,
            self._services.worker,
            ended.principal,
            command,
            job_id=notification_id(event, receiver.channel, receiver.target),
            traceparent=ended.traceparent,
            correlation_id=ended.correlation_id,
        )


def _ended(delivery: Delivery) -> Ended | None:
    """None for what tells of no end, and for the ends of notifications, which would never end."""
    try:
        envelope = read_envelope(delivery.headers)
    except Undecodable as error:  # the ledger gets it too, and buries it
        log.warning("event_ignored", error=str(error))
        return None
    fact = _FACT_OF.get(envelope.type)
    if fact is None or envelope.kind == NOTIFICATION_SEND.name:
        return None
    return Ended(delivery, envelope, names.event_key(envelope.kind, fact))
