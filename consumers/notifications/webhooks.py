"""Webhooks: signed requests to endpoints of other people, as Standard Webhooks says."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import structlog

from consumers.notifications.courier import Answer, Courier
from consumers.notifications.inbox import Inbox
from consumers.notifications.notice import TEST, Notice
from consumers.notifications.receipt import Receipt, refused
from consumers.notifications.signing import signed
from consumers.runtime.patience import until_done
from storage import webhooks
from storage.database import Database
from storage.documents import Endpoint
from telemetry import metrics

log = structlog.get_logger()

_GONE = "it answered 410: it wants nothing any more"


class Webhooks:
    def __init__(self, database: Database, courier: Courier, inbox: Inbox, disable_after: timedelta) -> None:
        self._database, self._courier, self._inbox = database, courier, inbox
        self._disable_after = disable_after

    async def tell(self, notice: Notice, target: str, principal: str, delivery: str) -> Receipt:  # noqa: ARG002
        endpoint = await until_done(webhooks.find, self._database, target)
        if endpoint is None or endpoint.principal != principal:
            return refused("receiver-gone", f"there is no webhook {target}")
        if not endpoint.enabled and notice.type != TEST:
            return refused("endpoint-disabled", f"the webhook is disabled: {endpoint.disabled_because}")
        at, body = datetime.now(UTC), notice.body()
        headers = {"content-type": "application/json", "user-agent": "Millrace-Webhooks/1"}
        headers |= signed(notice.event, at, body, endpoint.secrets)
        answer = await self._courier.post(endpoint.url, headers, body)
        await self._note(endpoint, answer, at)
        return _receipt(answer, {"url": endpoint.url, "headers": headers, "body": body.decode()})

    async def _note(self, endpoint: Endpoint, answer: Answer, at: datetime) -> None:
        """Whether anybody is there: one who is not for days gets nothing any more, nor one who says so."""
        if answer.taken:
            if endpoint.failing_since is not None:
                await until_done(webhooks.answered, self._database, endpoint.id)
            return
        if answer.status == HTTPStatus.GONE:
            await self._disable(endpoint, _GONE)
            return
        failing_since = endpoint.failing_since or at
        if endpoint.failing_since is None:
            await until_done(webhooks.failed, self._database, endpoint.id, at)
        if at - failing_since >= self._disable_after:
            await self._disable(endpoint, f"nothing came through since {failing_since:%Y-%m-%d %H:%M} UTC")

    async def _disable(self, endpoint: Endpoint, because: str) -> None:
        if await until_done(webhooks.disable, self._database, endpoint.id, because):
            metrics.WEBHOOKS_DISABLED.inc()
            log.warning("webhook_disabled", webhook=endpoint.id, because=because)
            text = f"{endpoint.url}: {because}. Enable it again, and recover what it missed."
            await self._inbox.remark(endpoint.principal, "webhook.disabled", "A webhook was disabled", text)


def _receipt(answer: Answer, request: dict[str, object]) -> Receipt:
    refusal = "refused-by-receiver" if answer.status == HTTPStatus.GONE else None
    return Receipt(
        taken=answer.taken,
        status=answer.status,
        error=answer.error,
        response=answer.text,
        duration_s=answer.duration_s,
        request=request,
        retry_after_s=answer.retry_after_s,
        refusal="address-not-allowed" if answer.forbidden else refusal,
    )
