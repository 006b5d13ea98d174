"""From envelope and body to an AMQP message and back."""

import struct
from dataclasses import dataclass
from typing import Any

from pamqp import encode

from schemas.envelope import CLOUDEVENTS_PREFIX, OWN_PREFIX, Envelope

CLAIM_PATH = "mr-claim-path"
CLAIM_SHA256 = "mr-claim-sha256"

# Written by the broker; stale ones on a republished message make it miscount deaths and deliveries.
_BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
# All headers of a message travel in one frame of 128 KiB, a dead letter's with the evidence.
_ROOM, _LONG, _MANY = 96 * 1024, 1024, 50


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
    kept = {name: value for name, value in headers.items() if not name.startswith(_BROKER_HEADERS)}
    return kept if len(kept) < _MANY and all(map(_is_plain, kept.values())) else _sendable(kept)


def own_headers(headers: dict[str, Any]) -> dict[str, Any]:
    """The envelope and what else is ours: all that a command needs to be published again."""
    return {name: value for name, value in headers.items() if name.startswith((CLOUDEVENTS_PREFIX, OWN_PREFIX))}


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | None) or (isinstance(value, str) and len(value) < _LONG)


def _sendable(headers: dict[str, Any]) -> dict[str, Any]:
    """What the client decodes it cannot always encode (bytes, wide floats), and headers with our evidence beside
    them may exceed the frame that they came in. Either would keep a dead letter from ever being published."""
    found, room = {}, _ROOM
    for name, value in sorted(headers.items(), key=lambda item: len(repr(item[1]))):
        try:
            said = bytearray(value) if isinstance(value, bytes) else value
            size = len(encode.field_table({name: said}))
        except (TypeError, ValueError, OverflowError, struct.error):
            said = repr(value)
            size = len(encode.field_table({name: said}))
        if size > room:
            said = f"left out: {size} bytes"
            size = len(encode.field_table({name: said}))
        if size <= room:
            found[name], room = said, room - size
    return found
