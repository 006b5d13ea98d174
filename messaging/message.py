"""From envelope and body to an AMQP message and back."""

from dataclasses import dataclass
from typing import Any

from schemas.envelope import Envelope

CLAIM_PATH = "mr-claim-path"
CLAIM_SHA256 = "mr-claim-sha256"

# Written by the broker; stale ones on a republished message make it miscount deaths and deliveries.
_BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")


@dataclass(frozen=True)
class OutgoingMessage:
    """What the publisher sends: headers that carry the envelope, and a JSON body, empty when it is claim-checked."""

    headers: dict[str, Any]
    body: bytes


@dataclass(frozen=True)
class Claim:
    """A reference to bytes in the blob store, carried instead of a large body."""

    path: str
    sha256: str


def message_for(envelope: Envelope, body: bytes, claim: Claim | None = None) -> OutgoingMessage:
    headers = envelope.headers()
    if claim is not None:
        headers |= {CLAIM_PATH: claim.path, CLAIM_SHA256: claim.sha256}
        body = b""
    return OutgoingMessage(headers, body)


def claim_in(headers: dict[str, Any]) -> Claim | None:
    if CLAIM_PATH not in headers:
        return None
    return Claim(str(headers[CLAIM_PATH]), str(headers.get(CLAIM_SHA256, "")))


def without_broker_headers(headers: dict[str, Any]) -> dict[str, Any]:
    """What a republished message may keep."""
    return {name: value for name, value in headers.items() if not name.startswith(_BROKER_HEADERS)}
