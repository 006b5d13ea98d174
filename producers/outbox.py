"""Where messages of the domain leave: claim-checks large bodies, then publishes under the right names."""

from dataclasses import dataclass

from messaging import names
from messaging.dead_letter import Forensics, without_forensics
from messaging.message import Claim, OutgoingMessage, message_for, without_broker_headers
from messaging.publisher import Publisher
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.lifecycle import LifecycleEvent
from storage.blobs import BlobStore

# What a quorum queue writes to its log for every replica, and keeps in memory; larger bodies travel by reference.
CLAIM_CHECK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Outbox:
    """Everything here raises PublishFailed, or BlobUnavailable for a body that had to be claim-checked."""

    publisher: Publisher
    blobs: BlobStore

    async def request(self, envelope: Envelope, command: Contract) -> None:
        """Publish a command: once, to its work queue and to the ledger, under one confirm."""
        message = await self._message(envelope, command)
        await self.publisher.publish(message, exchange=names.COMMANDS, routing_key=envelope.kind)

    async def tell(self, envelope: Envelope, event: LifecycleEvent) -> None:
        """Publish a lifecycle event to the ledger and to every subscriber of its topic."""
        message = await self._message(envelope, event)
        key = names.event_key(envelope.kind, event.fact)
        await self.publisher.publish(message, exchange=names.EVENTS, routing_key=key)

    async def retry(self, envelope: Envelope, headers: dict[str, object], body: bytes, delay_s: int) -> None:
        """Send the next attempt of a command through a delay tier, back to exactly its own work queue.

        `headers` and `body` are those of the delivery, so that a claim check and an old contract version survive.
        """
        message = OutgoingMessage(without_broker_headers(headers) | envelope.headers(), body)
        work_queue = names.work_queue(envelope.kind)
        await self.publisher.publish(message, exchange=names.retry_tier(delay_s), routing_key=work_queue)

    async def bury(self, headers: dict[str, object], body: bytes, forensics: Forensics, routing_key: str) -> None:
        """Give a message up: its original headers and bytes go to the dead letters, with the evidence."""
        kept = without_forensics(without_broker_headers(headers))
        message = OutgoingMessage(kept | forensics.headers(), body)
        await self.publisher.publish(message, exchange=names.DEAD, routing_key=routing_key)

    async def _message(self, envelope: Envelope, contract: Contract) -> OutgoingMessage:
        body = contract.model_dump_json().encode()
        if len(body) <= CLAIM_CHECK_BYTES:
            return message_for(envelope, body)
        path, sha256 = await self.blobs.put(body)
        return message_for(envelope, b"", Claim(path, sha256))
