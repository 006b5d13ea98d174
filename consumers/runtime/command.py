"""A command as its worker takes it from the queue, and what is published when its attempt ended."""

from dataclasses import dataclass
from typing import Any

import structlog

from consumers.runtime.incoming import Undecodable, read_body, read_envelope
from consumers.runtime.outcome import Bury, Decision, Finish, Postpone, Retry, forensics
from consumers.runtime.patience import until_done
from consumers.runtime.verdicts import RetryLater
from messaging.dead_letter import Reason
from messaging.delivery import Delivery
from messaging.history import with_attempt
from messaging.retry import beyond_tiers
from producers.outbox import Outbox, Parcel, dead_letter, delayed, postponed
from schemas.contract import Contract
from schemas.envelope import Envelope
from storage.blobs import BlobStore, BlobUnavailable
from telemetry import metrics, trace

log = structlog.get_logger()


@dataclass(frozen=True)
class Command:
    envelope: Envelope
    headers: dict[str, Any]
    body: bytes
    queue: str

    @classmethod
    def of(cls, delivery: Delivery, kind: str) -> "Command":
        """Raises Undecodable."""
        envelope = read_envelope(delivery.headers)
        if envelope.kind != kind:
            raise Undecodable(f"a command of kind {envelope.kind!r} is no work for {delivery.queue}")
        # The broker's client runs each delivery in a task of its own, so the binding ends with it.
        structlog.contextvars.bind_contextvars(**log_ids(envelope))
        return cls(envelope, delivery.headers, delivery.body, delivery.queue)

    async def params(self, contract: type[Contract], blobs: BlobStore) -> Any:
        """Raises Undecodable, or RetryLater while the blob store is away."""
        try:
            return await read_body(contract, self.envelope, self.headers, self.body, blobs)
        except BlobUnavailable as error:
            raise RetryLater(str(error)) from error


async def parcels(decision: Decision, command: Command, outbox: Outbox, worker: str) -> list[Parcel]:
    """What carries out a decision, in the order in which it must be published. Raises BlobUnavailable."""
    envelope = command.envelope
    match decision:
        case Finish(event):
            return [await outbox.event(envelope.event(event, source=worker), event)]
        case Retry(event, delay_s, failed):
            # The event first: a crash between the two then repeats this attempt, where it would double the next one.
            following = envelope.model_copy(update={"attempt": envelope.attempt + 1})
            told = await outbox.event(following.event(event, source=worker), event)
            headers = with_attempt(command.headers, failed)
            if beyond_tiers(delay_s):
                return [told, postponed(following, headers, command.body, event.not_before)]
            return [told, delayed(following, headers, command.body, delay_s)]
        case Postpone(delay_s):
            return [delayed(envelope, command.headers, command.body, delay_s)]
        case Bury(evidence):
            return [dead_letter(command.headers, command.body, evidence, envelope.kind)]


def observe(decision: Decision, kind: str, queue: str) -> None:
    """Count and log what was decided; called when it has been published."""
    match decision:
        case Finish(event):
            metrics.OUTCOMES.labels(kind, event.state).inc()
            log.info("job_finished", state=event.state)
        case Retry(event, delay_s):
            metrics.RETRIES.labels(kind).inc()
            log.warning("attempt_failed", retry_in_s=delay_s, error=event.error.detail)
        case Postpone(delay_s):
            log.warning("attempt_postponed", for_s=delay_s)
        case Bury(evidence):
            metrics.DEAD_LETTERS.labels(queue, evidence.reason).inc()
            log.error("dead_letter", queue=queue, reason=evidence.reason, error=evidence.error_detail)


async def bury(delivery: Delivery, error: Exception, reason: Reason, queue: str, outbox: Outbox) -> None:
    """Give up a message that cannot be read, or on which our own code failed; waits while the broker is away."""
    if reason is Reason.RUNTIME_FAULT:
        log.exception("runtime_fault", exc_info=error)
    decision = Bury(forensics(error, reason, queue))
    await until_done(outbox.bury, delivery.headers, delivery.body, decision.forensics, delivery.routing_key)
    observe(decision, delivery.routing_key, queue)


def log_ids(envelope: Envelope) -> dict[str, object]:
    return {
        "job_id": envelope.job_id,
        "kind": envelope.kind,
        "attempt": envelope.attempt,
        "generation": envelope.generation,
        "request_id": envelope.correlation_id,
        "trace_id": trace.trace_id(envelope.traceparent),
    }
