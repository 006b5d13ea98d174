"""Webhooks: add, change, rotate, test; and the log of what was delivered to them."""

import hashlib
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from gateway.bindings import follow, forget
from gateway.body import LimitedRoute
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES
from gateway.paging import Behind, Limit, paged
from gateway.preferences import idempotency_key
from gateway.problems import ProblemError
from producers.jobs import job_id_for
from producers.notifications import new_secret, recover, resend
from schemas.jobs.notification_send import NOTIFICATION_SEND, Channel, DeliveryState, SendNotification
from schemas.notifications import (
    Delivery,
    DeliveryPage,
    Recovered,
    RecoverRequest,
    RotateRequest,
    Webhook,
    WebhookChange,
    WebhookRequest,
    WebhookWithSecret,
)
from schemas.resources import Job
from storage import deliveries, webhooks
from storage.documents import Endpoint, Entry, StoredSecret

router = APIRouter(
    prefix="/v1/webhooks", tags=["notifications"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute
)

_MOST_RECOVERED = 2_000


@router.get("", response_model=list[Webhook])
async def list_webhooks(principal: Principal, parts: PartsDependency) -> list[Webhook]:
    """Your webhooks, newest first."""
    return [_described(found) for found in await parts.store.reading(webhooks.of(parts.database, [principal]))]


@router.post("", status_code=201, response_model=WebhookWithSecret)
async def add_webhook(
    asked: WebhookRequest, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Add an endpoint, which is told from now on. The answer has its secret, which is not shown again, but to a
    repeat of the request with the same `Idempotency-Key`."""
    made = _made(asked, principal, idempotency_key(request.headers))
    await follow(parts, made.topics)
    stands = await webhooks.add(parts.database, made)
    headers = {"Location": f"/v1/webhooks/{stands.id}"}
    if stands is not made:
        await forget(parts, made.topics)  # as far as it is not what stands that wants them
        if stands.asked_sha256 != made.asked_sha256:
            raise ProblemError("idempotency-key-reused", "Idempotency-Key: it was used for another webhook")
        headers["Idempotent-Replayed"] = "true"
    return _json(_with_secret(stands, stands.secrets[0].key), status_code=201, headers=headers)


def _made(asked: WebhookRequest, principal: str, key: str | None) -> Endpoint:
    now = datetime.now(UTC)
    return Endpoint(
        id=f"wh_{uuid4().hex if key is None else job_id_for(principal, 'POST /v1/webhooks', key)}",
        principal=principal,
        url=asked.url,
        description=asked.description,
        topics=asked.topics,
        secrets=[StoredSecret(key=new_secret())],
        created_at=now,
        updated_at=now,
        asked_sha256=hashlib.sha256(asked.model_dump_json().encode()).hexdigest(),
    )


@router.get("/{webhook}", response_model=Webhook)
async def get_webhook(webhook: str, principal: Principal, parts: PartsDependency) -> Webhook:
    """An endpoint: what it is told of, and whether anybody is there."""
    return _described(await _find(parts, principal, webhook))


@router.patch("/{webhook}", response_model=Webhook)
async def change_webhook(webhook: str, asked: WebhookChange, principal: Principal, parts: PartsDependency) -> Webhook:
    """Change it; what is left out stays. To enable it again also forgets since when it failed."""
    found = await _find(parts, principal, webhook)
    changes: dict[str, Any] = {
        name: value for name, value in asked.model_dump(exclude_unset=True).items() if value is not None
    }
    if asked.enabled is not None:
        changes |= {"failing_since": None, "disabled_because": None if asked.enabled else f"by {principal}"}
    changes["updated_at"] = datetime.now(UTC)
    if asked.topics is not None:
        await follow(parts, asked.topics)
    await webhooks.change(parts.database, webhook, changes)
    if asked.topics is not None:
        await forget(parts, found.topics)
    return _described(found.model_copy(update=changes))


@router.delete("/{webhook}", status_code=204)
async def remove_webhook(webhook: str, principal: Principal, parts: PartsDependency) -> Response:
    """Remove it; what is on its way to it fails."""
    found = await _find(parts, principal, webhook)
    await webhooks.remove(parts.database, webhook)
    await forget(parts, found.topics)
    return Response(status_code=204)


@router.post("/{webhook}/rotate-secret", response_model=WebhookWithSecret)
async def rotate_secret(
    webhook: str, principal: Principal, parts: PartsDependency, asked: RotateRequest | None = None
) -> Response:
    """A new secret, which is not shown again. For a day, or as long as you say, requests carry two signatures: one by
    the secret before, so that the receiver can change at its leisure."""
    found, secret, now = await _find(parts, principal, webhook), new_secret(), datetime.now(UTC)
    until = now + timedelta(seconds=(asked or RotateRequest()).keep_old_s)
    before = found.secrets[0].model_copy(update={"until": until})
    secrets = [StoredSecret(key=secret), *([before] if until > now else [])]
    changed = found.model_copy(update={"secrets": secrets, "updated_at": now})
    stored = {"secrets": [each.model_dump() for each in secrets], "updated_at": now}
    await webhooks.change(parts.database, webhook, stored)
    return _json(_with_secret(changed, secret))


@router.post("/{webhook}/test", status_code=202, response_model=Job)
async def send_test(webhook: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Send a test event to it, disabled or not, as the job that is answered; `Prefer: wait=N` answers when it has
    arrived."""
    found = await _find(parts, principal, webhook)
    command = SendNotification(channel=Channel.WEBHOOK, target=found.id, event=f"msg_{uuid4().hex}")
    return await parts.submission.of_params(request, principal, NOTIFICATION_SEND, command)


@router.get("/{webhook}/deliveries", response_model=DeliveryPage)
async def list_deliveries(
    webhook: str,
    principal: Principal,
    parts: PartsDependency,
    limit: Limit = 50,
    cursor: str | None = None,
    state: DeliveryState | None = None,
) -> Response:
    """What was sent to it, newest first: requests, answers, and how long they took. Kept for 30 days."""
    found = await _find(parts, principal, webhook)
    path, query = f"/v1/webhooks/{found.id}/deliveries", {"state": state and state.value}

    def find(count: int, behind: Behind) -> Coroutine[Any, Any, list[Entry]]:
        return deliveries.page(parts.database, found.id, count, behind, state)

    entries, following = await paged(parts, path, query, limit, cursor, find, lambda entry: entry.created_at)
    return _json(DeliveryPage(items=[_logged(entry) for entry in entries], next=following))


@router.get("/{webhook}/deliveries/{delivery}", response_model=Delivery)
async def get_delivery(webhook: str, delivery: str, principal: Principal, parts: PartsDependency) -> Delivery:
    """One entry of the log."""
    return _logged(await _entry(parts, principal, webhook, delivery))


@router.post("/{webhook}/deliveries/{delivery}/replay", status_code=202, response_model=Delivery)
async def replay_delivery(webhook: str, delivery: str, principal: Principal, parts: PartsDependency) -> Response:
    """Send it again, whatever came of it: under its `webhook-id`, as a delivery of its own, named by `resent_by`."""
    found = await _entry(parts, principal, webhook, delivery)
    by = await resend(parts.database, parts.submission.outbox, parts.submission.source, found)
    sent = _logged(found.model_copy(update={"resent_by": by}))
    return _json(sent, status_code=202, headers={"Location": f"/v1/jobs/{by}"})


@router.post("/{webhook}/recover", status_code=202, response_model=Recovered)
async def recover_webhook(
    webhook: str, asked: RecoverRequest, principal: Principal, parts: PartsDependency
) -> Response:
    """Send again whatever has failed since then and was not sent again. Idempotent: what is on its way is left."""
    found = await _find(parts, principal, webhook)
    sending = (parts.database, parts.submission.outbox, parts.submission.source)
    count, more = await recover(*sending, found.id, asked.since, _MOST_RECOVERED)
    return _json(Recovered(count=count, more=more), status_code=202)


async def _find(parts: Parts, principal: str, webhook: str) -> Endpoint:
    """Raises ProblemError, StoreUnavailable."""
    found = await parts.store.reading(webhooks.find(parts.database, webhook))
    if found is None or found.principal != principal:
        raise ProblemError("not-found", f"there is no webhook {webhook!r}")
    return found


async def _entry(parts: Parts, principal: str, webhook: str, delivery: str) -> Entry:
    """Raises ProblemError, StoreUnavailable."""
    endpoint = await _find(parts, principal, webhook)
    found = await parts.store.reading(deliveries.find(parts.database, delivery))
    if found is None or found.target != endpoint.id:
        raise ProblemError("not-found", f"there is no delivery {delivery!r} to this webhook")
    return found


def _described(found: Endpoint) -> Webhook:
    return Webhook.model_validate(_shown(found))


def _with_secret(found: Endpoint, secret: str) -> WebhookWithSecret:
    return WebhookWithSecret.model_validate({**_shown(found), "secret": secret})


def _shown(found: Endpoint) -> dict[str, Any]:
    now = datetime.now(UTC)
    valid = [secret for secret in found.secrets if secret.until is None or secret.until > now]
    return {**found.model_dump(exclude={"secrets", "asked_sha256"}), "secrets": len(valid)}


def _logged(entry: Entry) -> Delivery:
    return Delivery.model_validate(entry.model_dump())


def _json(found: BaseModel, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(found.model_dump_json(), status_code=status_code, media_type="application/json", headers=headers)
