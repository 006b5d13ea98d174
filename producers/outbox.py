"""Where messages of the domain leave: claim-checks large bodies, then publishes under the right names."""

from dataclasses import dataclass
from datetime import datetime

from messaging import names
from messaging.dead_letter import Forensics, without_forensics
from messaging.message import Claim, OutgoingMessage, message_for, own_headers, without_broker_headers
from messaging.publisher import Publisher
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.lifecycle import LifecycleEvent
from storage.blobs import BlobStore
from storage.schedule import Scheduled

# What a quorum queue writes to its log for every replica, and keeps in memory; larger bodies travel by reference.
CLAIM_CHECK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Parcel:
    """A message and where it goes, decided and not yet published."""

    message: OutgoingMessage
    exchange: str
    routing_key: str
    not_before: datetime | None = None
    """When it may be published; what waits for that is in the store."""


@dataclass(frozen=True)
class Outbox:
    """What publishes raises PublishFailed; what takes a contract also BlobUnavailable, for a body that had to be
    claim-checked."""

    publisher: Publisher
    blobs: BlobStore

    async def request(self, envelope: Envelope, command: Contract) -> None:
        """Publish a command: once, to its work queue and to the ledger, under one confirm."""
        await self.send(Parcel(await self._message(envelope, command), names.COMMANDS, envelope.kind))

    async def tell(self, envelope: Envelope, event: LifecycleEvent) -> None:
        """Publish a lifecycle event to the ledger and to every subscriber of its topic."""
        await self.send(await self.event(envelope, event))

    async def bury(self, headers: dict[str, object], body: bytes, forensics: Forensics, routing_key: str) -> None:
        """Give a message up: its original headers and bytes go to the dead letters, with the evidence."""
        await self.send(dead_letter(headers, body, forensics, routing_key))

    async def send(self, parcel: Parcel) -> None:
        await self.publisher.publish(parcel.message, exchange=parcel.exchange, routing_key=parcel.routing_key)

    async def event(self, envelope: Envelope, event: LifecycleEvent) -> Parcel:
        """A lifecycle event, for the ledger and every subscriber of its topic."""
        message = await self._message(envelope, event)
        return Parcel(message, names.EVENTS, names.event_key(envelope.kind, event.fact))

    async def _message(self, envelope: Envelope, contract: Contract) -> OutgoingMessage:
        body = contract.model_dump_json().encode()
        if len(body) <= CLAIM_CHECK_BYTES:
            return message_for(envelope, body)
        path, sha256 = await self.blobs.put(body)
        return message_for(envelope, b"", Claim(path, sha256))


def delayed(envelope: Envelope, headers: dict[str, object], body: bytes, delay_s: int) -> Parcel:
    """A command that goes through a delay tier, back to exactly its own work queue.

    `headers` and `body` are those of the delivery, so that a claim check and an old contract version survive.
    """
    message = OutgoingMessage(without_broker_headers(headers) | envelope.headers(), body)
    return Parcel(message, names.retry_tier(delay_s), names.work_queue(envelope.kind))


def postponed(envelope: Envelope, headers: dict[str, object], body: bytes, not_before: datetime) -> Parcel:
    """A command that goes back to its work queue at a time."""
    message = OutgoingMessage(own_headers(headers) | envelope.headers(), body)
    return Parcel(message, names.DEFAULT_EXCHANGE, names.work_queue(envelope.kind), not_before)


def scheduled(parcel: Parcel, not_before: datetime) -> Scheduled:
    """A postponed command as the store keeps it."""
    envelope, message = Envelope.from_headers(parcel.message.headers), parcel.message
    attempt = (envelope.generation, envelope.attempt)
    return Scheduled(envelope.job_id, attempt, not_before, parcel.routing_key, message.headers, message.body)


def due(found: Scheduled) -> Parcel:
    """What was scheduled, to be published now."""
    return Parcel(OutgoingMessage(found.headers, found.body), names.DEFAULT_EXCHANGE, found.queue)


def returned(kind: str, headers: dict[str, object], body: bytes) -> Parcel:
    """A command that goes back to its work queue, unchanged."""
    message = OutgoingMessage(without_broker_headers(headers), body)
    return Parcel(message, names.DEFAULT_EXCHANGE, names.work_queue(kind))


def dead_letter(headers: dict[str, object], body: bytes, forensics: Forensics, routing_key: str) -> Parcel:
    """A message given up on: its original headers and bytes, with the evidence."""
    kept = without_forensics(without_broker_headers(headers))
    return Parcel(OutgoingMessage(kept | forensics.headers(), body), names.DEAD, routing_key)
