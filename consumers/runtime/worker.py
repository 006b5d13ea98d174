"""Short mode: hold the message while its handler runs. Decode, handle, publish the outcome, then acknowledge.

A crash in between redelivers the message, and a second outcome folds into nothing.
"""

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from consumers.runtime.handler import Handler, Task
from consumers.runtime.incoming import Undecodable, read_body, read_envelope
from consumers.runtime.outcome import Bury, Finish, Retry, after_failure, forensics
from consumers.runtime.patience import until_done
from consumers.runtime.pool import Services
from consumers.runtime.progress import Progress
from consumers.runtime.verdicts import RetryLater
from messaging import names
from messaging.consumer import Delivery
from messaging.dead_letter import Reason
from schemas.envelope import Envelope
from schemas.lifecycle import JobAborted, JobError, JobSucceeded
from storage.blobs import BlobUnavailable
from telemetry import metrics, trace

log = structlog.get_logger()


class Worker:
    """Runs the handler of one kind, as many jobs at a time as its prefetch."""

    def __init__(self, handler: Handler, resources: Any, services: Services) -> None:
        self.kind = handler.kind.name
        self._handler, self._resources, self._services = handler, resources, services
        self._outbox = services.outbox
        self._queue = names.work_queue(self.kind)
        self._rng = random.Random()  # noqa: S311  # jitter
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0

    async def start(self) -> None:
        await self._services.consumer.subscribe(self._queue, self._handler.prefetch, self.on_delivery, careful=True)

    async def drain(self) -> None:
        await self._idle.wait()

    async def on_delivery(self, delivery: Delivery) -> None:
        self.in_flight += 1
        self._idle.clear()
        try:
            await self._settle(delivery)
        except Exception as error:
            log.exception("runtime_fault")  # ours, not the handler's: the message must be settled all the same
            await self._bury(delivery, Bury(forensics(error, Reason.RUNTIME_FAULT, self._queue)))
            delivery.ack()
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def _settle(self, delivery: Delivery) -> None:
        try:
            envelope = read_envelope(delivery.headers)
            if envelope.kind != self.kind:
                raise Undecodable(f"a command of kind {envelope.kind!r} is no work for {self._queue}")
            # The broker's client runs each delivery in a task of its own, so the binding ends with it.
            structlog.contextvars.bind_contextvars(**_log_ids(envelope))
            await self._attempt(delivery, envelope)
        except Undecodable as error:
            await self._bury(delivery, Bury(forensics(error, Reason.UNDECODABLE, self._queue)))
        delivery.ack()

    async def _attempt(self, delivery: Delivery, envelope: Envelope) -> None:
        started_at = datetime.now(UTC)
        first_time = envelope.attempt == 1 and not delivery.delivered_before
        if first_time and envelope.deadline is not None and envelope.deadline <= started_at:
            await self._tell(envelope, Finish(_missed(envelope.deadline, started_at)))
            return
        metrics.QUEUE_WAIT_SECONDS.labels(self.kind).observe((started_at - envelope.time).total_seconds())
        try:
            event = await self._run(delivery, envelope, started_at)
            await self._tell(envelope, Finish(event))  # a result that is no JSON is a failed attempt
        except Undecodable:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is a verdict
            await self._failed(error, delivery, envelope, started_at)

    async def _run(self, delivery: Delivery, envelope: Envelope, started_at: datetime) -> JobSucceeded:
        params = await self._params(delivery, envelope)
        progress = Progress(envelope, self._outbox, self._services.worker)
        progress.announce(started_at)
        started = time.perf_counter()
        with metrics.IN_FLIGHT.labels(self.kind).track_inprogress():
            try:
                result = await self._handler.run(Task(params, envelope, progress.report), self._resources)
            finally:
                await progress.close()
                metrics.RUN_SECONDS.labels(self.kind).observe(time.perf_counter() - started)
        # Constructed, not validated: the result is an instance of a contract already.
        return JobSucceeded.model_construct(
            started_at=started_at, finished_at=datetime.now(UTC), result=result.model_dump(mode="json")
        )

    async def _params(self, delivery: Delivery, envelope: Envelope) -> Any:
        try:
            command = self._handler.kind.command
            return await read_body(command, envelope, delivery.headers, delivery.body, self._outbox.blobs)
        except BlobUnavailable as error:
            raise RetryLater(str(error)) from error

    async def _failed(self, error: Exception, delivery: Delivery, envelope: Envelope, started_at: datetime) -> None:
        max_attempts = self._handler.kind.max_attempts
        decision = after_failure(
            error,
            attempt=envelope.attempt,
            max_attempts=max_attempts,
            started_at=started_at,
            queue=self._queue,
            rng=self._rng,
        )
        match decision:
            case Finish():
                await self._tell(envelope, decision)
            case Retry():
                log.warning("attempt_failed", retry_in_s=decision.delay_s, exc_info=error)
                await self._retry(delivery, envelope, decision)
            case Bury():
                log.error("attempts_exhausted", attempts=max_attempts, exc_info=error)
                await self._bury(delivery, decision)

    async def _tell(self, envelope: Envelope, finish: Finish) -> None:
        event = finish.event
        await until_done(self._outbox.tell, envelope.event(event, source=self._services.worker), event)
        metrics.OUTCOMES.labels(self.kind, event.state).inc()
        log.info("job_finished", state=event.state)

    async def _retry(self, delivery: Delivery, envelope: Envelope, retry: Retry) -> None:
        """The event first: a crash between the two then repeats this attempt, where it would double the next one."""
        next_attempt = envelope.model_copy(update={"attempt": envelope.attempt + 1})
        await until_done(
            self._outbox.tell, next_attempt.event(retry.event, source=self._services.worker), retry.event
        )
        await until_done(self._outbox.retry, next_attempt, delivery.headers, delivery.body, retry.delay_s)
        metrics.RETRIES.labels(self.kind).inc()

    async def _bury(self, delivery: Delivery, bury: Bury) -> None:
        log.error("dead_letter", queue=self._queue, reason=bury.forensics.reason, error=bury.forensics.error_detail)
        await until_done(self._outbox.bury, delivery.headers, delivery.body, bury.forensics, delivery.routing_key)
        metrics.DEAD_LETTERS.labels(self._queue, bury.forensics.reason).inc()


def _missed(deadline: datetime, now: datetime) -> JobAborted:
    detail = f"it should have started by {deadline.isoformat()}"
    error = JobError(type="deadline-missed", title="The deadline passed before the job started", detail=detail)
    return JobAborted(started_at=None, finished_at=now, error=error)


def _log_ids(envelope: Envelope) -> dict[str, object]:
    return {
        "job_id": envelope.job_id,
        "kind": envelope.kind,
        "attempt": envelope.attempt,
        "generation": envelope.generation,
        "request_id": envelope.correlation_id,
        "trace_id": trace.trace_id(envelope.traceparent),
    }
