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
    """Raises StoreUnavailable, PublishFailed. What is asked for again before it went out is the same job."""
    for principal, until in (await digests.due(services.database, now)).items():
        event = f"digest_{until:%Y%m%dT%H%M}"
        command = SendNotification(channel=Channel.EMAIL, target=principal, event=event, digest_until=until)
        job_id = notification_id(event, Channel.EMAIL, principal)
        await tell(services.outbox, services.worker, principal, command, job_id=job_id)
