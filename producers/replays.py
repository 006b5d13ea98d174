"""Replaying dead letters: what is published for one, and where it goes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pydantic import ValidationError

from messaging import names
from messaging.message import CLAIM_PATH, CLAIM_SHA256, Claim, OutgoingMessage, claim_in, without_broker_headers
from producers.outbox import CLAIM_CHECK_BYTES, Outbox, Parcel
from schemas.envelope import CLOUDEVENTS_PREFIX, OWN_PREFIX, Envelope
from schemas.kinds import kind_named
from storage.blobs import BlobStore
from storage.documents import Letter

_CLAIM_HEADERS = frozenset({CLAIM_PATH, CLAIM_SHA256})


def command_of(letter: Letter) -> Envelope | None:
    """The envelope of the command that a letter was; None for letters of the ledger and for what is no command."""
    try:
        envelope = Envelope.from_headers(letter.headers)
    except ValidationError:
        return None
    return envelope if letter.queue == names.work_queue(envelope.kind) else None


async def replay(outbox: Outbox, letter: Letter, *, source: str) -> Parcel:
    """What brings a letter back. A command goes to its work queue and, so that its job is reopened, to the ledger;
    anything else goes back to the queue that it came from, as it was.

    The generation follows from the letter, so a letter that is replayed twice folds into one. Raises UnknownKind,
    since a command without a work queue would reach the ledger alone; BlobMissing, BlobUnavailable.
    """
    envelope = command_of(letter)
    body = await body_of(outbox.blobs, letter)
    if envelope is None:
        headers = without_broker_headers(_without_copies(letter.headers))
        return Parcel(OutgoingMessage(headers, body), names.DEFAULT_EXCHANGE, letter.queue)
    kind_named(envelope.kind)
    claim: Mapping[str, Any] = {}
    if letter.edit is None:
        claim = {name: value for name, value in letter.headers.items() if name in _CLAIM_HEADERS}
    elif len(body) > CLAIM_CHECK_BYTES:
        stored = Claim(*await outbox.blobs.put(body))
        claim, body = {CLAIM_PATH: stored.path, CLAIM_SHA256: stored.sha256}, b""
    again = next_generation(letter, envelope, source, datetime.now(UTC))
    message = OutgoingMessage({**_foreign(letter.headers), **claim, **again.headers()}, body)
    return Parcel(message, names.COMMANDS, again.kind)


async def body_of(blobs: BlobStore, letter: Letter) -> bytes:
    """The edited body, else the one that the message had, empty where it travelled by claim check.

    Raises BlobMissing, BlobUnavailable."""
    return letter.edit.body if letter.edit is not None else await original_body(blobs, letter)


async def original_body(blobs: BlobStore, letter: Letter) -> bytes:
    """Raises BlobMissing, BlobUnavailable."""
    if letter.body_claim is not None:
        return await blobs.get(letter.body_claim.path, letter.body_claim.sha256)
    return letter.body or b""


async def original_content(blobs: BlobStore, letter: Letter) -> bytes:
    """What the message meant: the body, or what its claim check refers to. Raises BlobMissing, BlobUnavailable."""
    claim = claim_in(letter.headers)
    return await (blobs.get(claim.path, claim.sha256) if claim else original_body(blobs, letter))


def next_generation(letter: Letter, envelope: Envelope, source: str, now: datetime) -> Envelope:
    """The same job, begun anew. A deadline that has passed would abort it at once, so it is dropped."""
    kept = envelope.deadline if envelope.deadline is not None and envelope.deadline > now else None
    return envelope.model_copy(
        update={
            # Equal whenever this letter is replayed, so that doubles of the command that die leave one letter.
            "id": uuid5(NAMESPACE_URL, f"urn:millrace:replay:{letter.id}").hex,
            "source": source,
            "time": now,
            "dataschema": letter.edit.dataschema if letter.edit is not None else envelope.dataschema,
            "generation": envelope.generation + 1,
            "attempt": 1,
            "sequence": 0,
            "epoch": 0,
            "causation_id": letter.id,
            "deadline": kept,
        }
    )


def _foreign(headers: dict[str, Any]) -> dict[str, Any]:
    """Whatever somebody else attached; ours are made anew, and the broker's speak of an earlier life."""
    kept = {n: v for n, v in headers.items() if not n.startswith((CLOUDEVENTS_PREFIX, OWN_PREFIX, "x-"))}
    return without_broker_headers(_without_copies(kept))


def _without_copies(headers: dict[str, Any]) -> dict[str, Any]:
    """These would have the broker route the message elsewhere too."""
    return {name: value for name, value in headers.items() if name not in ("CC", "BCC")}
