"""In the application: what a person finds there, and sees arriving."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from consumers.notifications.notice import Notice
from consumers.notifications.receipt import Receipt
from consumers.runtime.patience import until_done
from storage import inbox
from storage.database import Database
from storage.documents import Told
from storage.inbox import Bell


class Inbox:
    def __init__(self, database: Database, bell: Bell, keep: timedelta) -> None:
        self._database, self._bell, self._keep = database, bell, keep

    async def tell(self, notice: Notice, target: str, principal: str, delivery: str) -> Receipt:  # noqa: ARG002
        await self._put(delivery, principal, notice.type, notice.title, notice.text, notice.job_id)
        return Receipt(taken=True)

    async def remark(self, principal: str, type: str, title: str, text: str) -> None:
        """Something of our own, that is nobody's event."""
        await self._put(uuid4().hex, principal, type, title, text, None)

    async def _put(self, id: str, principal: str, type: str, title: str, text: str, job_id: str | None) -> None:
        now = datetime.now(UTC)
        told = Told(
            id=id,
            principal=principal,
            type=type,
            title=title,
            text=text[:2_000],
            job_id=job_id,
            created_at=now,
            expires_at=now + self._keep,
        )
        await until_done(inbox.put, self._database, told)
        await self._bell.ring(principal)
