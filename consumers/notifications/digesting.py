"""Asking for each digest when it is due: once, whoever asks."""

import asyncio
from datetime import UTC, datetime

import structlog

from consumers.runtime.patience import PASSING
from consumers.runtime.pool import Services
from producers.notifications import notification_id, tell
from schemas.jobs.notification_send import Channel, SendNotification
from storage import digests

log = structlog.get_logger()

_LOOK_EVERY_S = 10.0


async def run_digests(services: Services) -> None:
    while True:
        try:
            await ask_for_digests(services, datetime.now(UTC))
        except PASSING as error:
            log.warning("digests_not_looked_for", error=str(error))
        await asyncio.sleep(_LOOK_EVERY_S)


async def ask_for_digests(services: Services, now: datetime) -> None:
    """The oldest line names the job: so who asks again, since it has not begun yet, asks for the same one. Raises
    StoreUnavailable, PublishFailed."""
    for due in await digests.due(services.database, now):
        event = f"digest_{due.first}"
        command = SendNotification(channel=Channel.EMAIL, target=due.principal, event=event, digest_until=due.until)
        job_id = notification_id(event, Channel.EMAIL, due.principal)
        await tell(services.outbox, services.worker, due.principal, command, job_id=job_id)
