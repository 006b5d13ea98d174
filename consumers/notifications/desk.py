"""What the handler of this pool works with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from weakref import WeakValueDictionary

from consumers.notifications.courier import open_courier
from consumers.notifications.inbox import Inbox
from consumers.notifications.lines import Line
from consumers.notifications.mails import Mails
from consumers.notifications.notice import Notices
from consumers.notifications.pushes import Pushes
from consumers.notifications.receipt import Teller
from consumers.notifications.settings import NotificationSettings
from consumers.notifications.webhooks import Webhooks
from consumers.runtime.pool import Services
from schemas.jobs.notification_send import Channel, SendNotification
from storage.database import Database
from storage.inbox import open_bell


@dataclass(frozen=True)
class Desk:
    database: Database
    notices: Notices
    tellers: dict[Channel, Teller]
    mails: Mails
    keep: timedelta
    """How long an entry of the delivery log is kept."""
    busy: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    lines: WeakValueDictionary[str, Line] = field(default_factory=WeakValueDictionary)

    def alone(self, job_id: str) -> asyncio.Lock:
        """Held while a job is seen to: an event that is delivered twice makes two commands of one job."""
        return self.busy.setdefault(job_id, asyncio.Lock())

    def line(self, command: SendNotification) -> Line:
        return self.lines.setdefault(f"{command.channel}:{command.target}", Line())


@asynccontextmanager
async def open_desk(services: Services, settings: NotificationSettings) -> AsyncIterator[Desk]:
    database, keep = services.database, timedelta(seconds=settings.keep_s)
    async with open_courier(settings) as courier, open_bell(services.storage) as bell:
        notices, inbox = Notices(database, settings.public_url), Inbox(database, bell, keep)
        mails = Mails(database, notices, settings)
        tellers: dict[Channel, Teller] = {
            Channel.WEBHOOK: Webhooks(database, courier, inbox, timedelta(seconds=settings.disable_after_s)),
            Channel.EMAIL: mails,
            Channel.IN_APP: inbox,
            Channel.WEB_PUSH: Pushes(database, courier, notices, settings.push_contact),
        }
        yield Desk(database, notices, tellers, mails, keep)
