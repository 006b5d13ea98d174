"""`notification.send`: tell one receiver of one event, and write down how it went.

The entry in the delivery log is what makes it one notification however often the job runs: what is in there as
delivered is not sent again. A crash between the receiver's answer and the entry sends it twice, as do two workers who
are given it at once: under one `webhook-id`, one `Message-ID`, one id in the application.
"""

from datetime import UTC, datetime

from consumers.notifications.desk import Desk
from consumers.notifications.notice import DIGEST
from consumers.notifications.receipt import Receipt
from consumers.runtime.handler import Task, handles
from consumers.runtime.patience import until_done
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.jobs.notification_send import NOTIFICATION_SEND, DeliveryState, NotificationSent, SendNotification
from storage import deliveries, digests
from storage.documents import Entry
from telemetry import metrics

_DONE = (DeliveryState.DELIVERED, DeliveryState.HELD)


@handles(NOTIFICATION_SEND, prefetch=200, pauses=False)
async def send(task: Task[SendNotification], desk: Desk) -> NotificationSent:
    async with desk.alone(task.envelope.job_id):
        return await _send(task, desk)


async def _send(task: Task[SendNotification], desk: Desk) -> NotificationSent:
    command, job_id = task.params, task.envelope.job_id
    known = await until_done(deliveries.find, desk.database, job_id)
    if known is not None and known.state in _DONE:
        return NotificationSent(state=known.state)
    if command.digest_until is not None:
        return await _send_digest(task, command.digest_until, desk)
    notice = await desk.notices.of(command, task.envelope)
    teller = desk.tellers[command.channel]
    async with desk.line(command).turn():
        at = datetime.now(UTC)
        receipt = await teller.tell(notice, command.target, task.envelope.principal, job_id)
    return await _record(task, desk, notice.type, receipt, at)


async def _send_digest(task: Task[SendNotification], until: datetime, desk: Desk) -> NotificationSent:
    """The lines are let go of before the digest is written down: a crash in between finds none, and one before sends
    the mail twice."""
    principal, job_id = task.envelope.principal, task.envelope.job_id
    lines = await until_done(digests.take, desk.database, principal, until, job_id)
    if not lines:
        return NotificationSent(state=DeliveryState.DELIVERED, receipt="nothing is held")
    at = datetime.now(UTC)
    receipt = await desk.mails.tell_digest(lines, principal, until, job_id)
    if receipt.taken or receipt.refusal is not None:
        ids, state = [line.id for line in lines], _state(receipt, task.envelope.attempt)
        await until_done(deliveries.settled, desk.database, ids, state, _attempt(receipt, at))
        await until_done(digests.release, desk.database, ids)
    return await _record(task, desk, DIGEST, receipt, at)


async def _record(
    task: Task[SendNotification], desk: Desk, type: str, receipt: Receipt, at: datetime
) -> NotificationSent:
    """Raises Reject, RetryLater for what was not taken."""
    state = _state(receipt, task.envelope.attempt)
    entry = _entry(task, type, state, at, desk)
    await until_done(deliveries.record, desk.database, entry, _attempt(receipt, at), receipt.request, state)
    metrics.NOTIFICATIONS.labels(task.params.channel, state).inc()
    if receipt.taken:
        return NotificationSent(state=state, receipt=str(receipt.status or ""))
    why = receipt.error or "it was not taken"
    if receipt.refusal is not None:
        raise Reject(why, type=receipt.refusal, title="The receiver was not told")
    raise RetryLater(why, delay_s=receipt.retry_after_s)


def _state(receipt: Receipt, attempt: int) -> DeliveryState:
    if receipt.taken:
        return DeliveryState.HELD if receipt.held else DeliveryState.DELIVERED
    last = receipt.refusal is not None or attempt >= NOTIFICATION_SEND.max_attempts
    return DeliveryState.FAILED if last else DeliveryState.PENDING


def _entry(task: Task[SendNotification], type: str, state: DeliveryState, at: datetime, desk: Desk) -> Entry:
    command, envelope = task.params, task.envelope
    return Entry(
        id=envelope.job_id,
        principal=envelope.principal,
        channel=command.channel,
        target=command.target,
        event=command.event,
        type=type,
        job_id=command.job_id,
        generation=command.generation,
        resends=command.resends,
        created_at=envelope.time,
        state=state,
        expires_at=at + desk.keep,
    )


def _attempt(receipt: Receipt, at: datetime) -> dict[str, object]:
    return {
        "at": at,
        "duration_s": receipt.duration_s,
        "status": receipt.status,
        "error": receipt.error,
        "response": receipt.response,
    }
