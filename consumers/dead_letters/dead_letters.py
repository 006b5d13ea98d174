"""From the `mr.dead` queue to the `dead_letters` collection. One way for all letters, whoever gave the message up."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from consumers.dead_letters.shelf import Shelf
from consumers.runtime.in_flight import InFlight
from consumers.runtime.incoming import Undecodable, read_envelope
from consumers.runtime.patience import PASSING, until_done
from consumers.runtime.pool import Services
from messaging import names
from messaging.dead_letter import Forensics, Reason, without_forensics
from messaging.delivery import Delivery
from messaging.history import HEADER as HISTORY
from messaging.history import past_attempts
from producers.outbox import CLAIM_CHECK_BYTES
from schemas.dead_letters import FailedAttempt
from schemas.envelope import Envelope
from schemas.lifecycle import JobDied, JobError
from storage.dead_letters import LetterStore
from storage.documents import Letter, StoredClaim
from telemetry import failpoints, metrics

log = structlog.get_logger()

PREFETCH = 200


class DeadLetters:
    def __init__(self, services: Services, shelf: Shelf) -> None:
        self._outbox, self._worker, self._shelf = services.outbox, services.worker, shelf
        self._unsettled = InFlight()

    async def on_delivery(self, delivery: Delivery) -> None:
        with self._unsettled:
            failpoints.reach("dead-letters.before-store")
            await until_done(self._keep, delivery)
            failpoints.reach("dead-letters.before-ack")
            delivery.ack()

    async def drain(self) -> None:
        await self._unsettled.none()

    def health(self) -> dict[str, object]:
        return {"unsettled": self._unsettled.count}

    async def _keep(self, delivery: Delivery) -> None:
        evidence = Forensics.from_headers(delivery.headers)
        envelope = _envelope_of(delivery)
        try:
            letter = await self._letter(delivery, envelope, evidence, _original(delivery.headers))
            await self._shelf.add(letter)
        except PASSING:
            raise
        except Exception:
            # Headers can be more hostile than we foresee; the bytes and the reason are kept whatever they hold.
            log.exception("dead_letter_reduced")
            harmless = replace(evidence, at="")
            letter = await self._letter(delivery, envelope, harmless, {"unreadable": repr(delivery.headers)[:4_000]})
            await self._shelf.add(letter)
        if evidence.reason is Reason.KILLS_WORKER:
            metrics.DEAD_LETTERS.labels(evidence.queue, evidence.reason).inc()
        if envelope is not None and evidence.queue == names.work_queue(envelope.kind):
            await self._tell_end(envelope, evidence)
        log.error("dead_letter_kept", letter=letter.id, reason=evidence.reason, job_id=letter.job_id)

    async def _letter(
        self, delivery: Delivery, envelope: Envelope | None, evidence: Forensics, headers: dict[str, Any]
    ) -> Letter:
        body: bytes | None = delivery.body
        claim = None
        if len(delivery.body) > CLAIM_CHECK_BYTES:
            path, sha256 = await self._outbox.blobs.put(delivery.body)
            body, claim = None, StoredClaim(path=path, sha256=sha256)
        return Letter(
            id=_letter_id(delivery, envelope, evidence.queue),
            reason=evidence.reason,
            queue=evidence.queue,
            routing_key=delivery.routing_key,
            fingerprint=evidence.fingerprint,
            error_type=evidence.error_type,
            error_detail=evidence.error_detail,
            traceback=evidence.traceback,
            died_at=_time(evidence.at) or datetime.now(UTC),
            host=evidence.host,
            worker=evidence.worker,
            code_version=evidence.code_version,
            job_id=envelope and envelope.job_id,
            kind=envelope and envelope.kind,
            generation=envelope and envelope.generation,
            attempt=envelope and envelope.attempt,
            headers=headers,
            body=body,
            body_claim=claim,
            attempts=_attempts(delivery.headers),
            stored_at=datetime.now(UTC),
        )

    async def _tell_end(self, envelope: Envelope, evidence: Forensics) -> None:
        error = JobError(
            type=_PROBLEM_OF[evidence.reason],
            title=_TITLE_OF[evidence.reason],
            detail=f"{evidence.error_type}: {evidence.error_detail}",
            fingerprint=evidence.fingerprint,
        )
        died = JobDied(started_at=_time(evidence.started_at), finished_at=datetime.now(UTC), error=error)
        await self._outbox.tell(envelope.event(died, source=self._worker), died)


_PROBLEM_OF = {
    Reason.EXHAUSTED: "attempts-exhausted",
    Reason.UNDECODABLE: "undecodable-message",
    Reason.RUNTIME_FAULT: "runtime-fault",
    Reason.KILLS_WORKER: "worker-killed",
}
_TITLE_OF = {
    Reason.EXHAUSTED: "Every attempt failed",
    Reason.UNDECODABLE: "The message fits no contract",
    Reason.RUNTIME_FAULT: "Our own code failed",
    Reason.KILLS_WORKER: "Every worker that took it died",
}


def _envelope_of(delivery: Delivery) -> Envelope | None:
    with suppress(Undecodable):
        return read_envelope(delivery.headers)
    return None


def _letter_id(delivery: Delivery, envelope: Envelope | None, queue: str) -> str:
    """The same for every delivery of one letter, so that it is stored once. Its queue and bytes are part of it: the
    ledger and a worker may give up on one command, and what cannot be decoded may bear anybody's id."""
    name = f"{envelope.job_id}.{envelope.generation}.{envelope.attempt}" if envelope else delivery.message_id
    return hashlib.sha256(f"{queue}\n{name}\n".encode() + delivery.body).hexdigest()[:32]


def _original(headers: dict[str, Any]) -> dict[str, Any]:
    """What the message came with, before it was tried: how it failed stands in fields of its own."""
    return _storable({name: value for name, value in without_forensics(headers).items() if name != HISTORY})


def _attempts(headers: dict[str, Any]) -> list[dict[str, Any]]:
    """The failed attempts before the last one, as far as they are ours to read."""
    found = []
    for said in past_attempts(headers):
        with suppress(ValidationError):
            found.append(FailedAttempt.model_validate(said).model_dump())
    return found


def _storable(headers: dict[str, Any]) -> dict[str, Any]:
    """Hostile headers hold anything AMQP can say; a document holds JSON, without these in names."""
    found: dict[str, Any] = _renamed(to_jsonable_python(headers, fallback=str, bytes_mode="base64"))
    return found


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if isinstance(value, dict):
        return {name.translate(_NAMES): _renamed(item) for name, item in value.items()}
    return value


_NAMES = str.maketrans(".$\0", "___")


def _time(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    return None


class DeadLettersPool:
    name = "dead_letters"

    @asynccontextmanager
    async def open(self, services: Services) -> AsyncIterator[DeadLetters]:
        shelf = Shelf(LetterStore(services.database))
        consumer = DeadLetters(services, shelf)
        await services.consumer.subscribe(names.DEAD, PREFETCH, consumer.on_delivery)
        try:
            yield consumer
        finally:
            await shelf.close()
