"""E-mail: one by one, or together as a digest."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from consumers.notifications.letters import Letter, digest, single
from consumers.notifications.notice import Notice, Notices
from consumers.notifications.receipt import Receipt, refused
from consumers.notifications.settings import NotificationSettings
from consumers.runtime.patience import until_done
from schemas.notifications import Digest, EmailPreferences, preferences_of
from storage import digests, preferences
from storage.database import Database
from storage.documents import Held

_SUBMISSION, _SUBMISSIONS = 587, 465


class Mails:
    def __init__(self, database: Database, notices: Notices, settings: NotificationSettings) -> None:
        self._database, self._notices, self._settings = database, notices, settings

    async def tell(self, notice: Notice, target: str, principal: str, delivery: str) -> Receipt:  # noqa: ARG002
        wanted = await self._wanted(principal)
        if wanted.digest is not Digest.OFF and notice.job_id is not None:
            await self._hold(notice, principal, delivery, wanted.digest)
            return Receipt(taken=True, held=True)
        link = self._notices.link(notice.job_id) if notice.job_id else None
        return await self._send(wanted.address, single(notice, link), notice.at, delivery)

    async def tell_digest(self, lines: Sequence[Held], principal: str, until: datetime, delivery: str) -> Receipt:
        """Everything that was held back, as one mail."""
        wanted = await self._wanted(principal)
        return await self._send(wanted.address, digest([line.notice for line in lines]), until, delivery)

    async def _wanted(self, principal: str) -> EmailPreferences:
        said = await until_done(preferences.of, self._database, [principal])
        return preferences_of(said.get(principal)).email

    async def _hold(self, notice: Notice, principal: str, delivery: str, period: Digest) -> None:
        now = datetime.now(UTC)
        line = {"at": notice.at, "title": notice.title, "text": notice.text}
        line["link"] = self._notices.link(notice.job_id or "")
        held = Held(id=delivery, principal=principal, held_at=now, due_at=next_full(period, now), notice=line)
        await until_done(digests.hold, self._database, held)

    async def _send(self, address: str | None, letter: Letter, at: datetime, delivery: str) -> Receipt:
        if self._settings.smtp_url is None:
            return refused("channel-not-set-up", "no mail server: MILLRACE_NOTIFICATIONS_SMTP_URL is not set")
        if address is None:
            return refused("receiver-gone", "there is no address in the preferences")
        message = self._message(address, letter, at, delivery)
        request = {"to": address, "subject": letter.subject}
        started = time.perf_counter()
        try:
            _, answer = await self._submit(message, self._settings.smtp_url.get_secret_value())
        except aiosmtplib.SMTPException as error:
            taken_s = round(time.perf_counter() - started, 4)
            code = _code(error)
            final = code is not None and 500 <= code < 600
            slug = "refused-by-receiver" if final else None
            return Receipt(False, code, str(error), duration_s=taken_s, request=request, refusal=slug)
        return Receipt(True, response=answer, duration_s=round(time.perf_counter() - started, 4), request=request)

    async def _submit(self, message: EmailMessage, url: str) -> tuple[object, str]:
        """Raises SMTPException, of which a connection that fails is one."""
        server = urlsplit(url)
        encrypted = server.scheme == "smtps"
        return await aiosmtplib.send(
            message,
            hostname=server.hostname,
            port=server.port or (_SUBMISSIONS if encrypted else _SUBMISSION),
            username=unquote(server.username) if server.username else None,
            password=unquote(server.password) if server.password else None,
            use_tls=encrypted,
            timeout=self._settings.connect_s,
        )

    def _message(self, address: str, letter: Letter, at: datetime, delivery: str) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self._settings.mail_from, address
        message["Subject"], message["Date"] = letter.subject, format_datetime(at)
        message["Message-ID"] = f"<{delivery}@millrace>"  # mail that comes twice is one to most readers
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        message.add_alternative(letter.html, subtype="html")
        return message


def _code(error: aiosmtplib.SMTPException) -> int | None:
    """What the server answered, when it did."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return min(refusal.code for refusal in error.recipients)
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None


def next_full(period: Digest, now: datetime) -> datetime:
    """The next full hour or day."""
    if period is Digest.HOURLY:
        return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
