"""Notifications as jobs: who is to be told of an event, and the command that tells one of them."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from producers.jobs import command_envelope
from producers.outbox import Outbox
from schemas.jobs.notification_send import NOTIFICATION_SEND, Channel, SendNotification
from schemas.notifications import USUAL_TOPICS, Preferences, preferences_of
from schemas.topics import ending, matches
from storage import deliveries, preferences, webhooks
from storage.database import Database
from storage.documents import Browser, Endpoint, Entry
from telemetry import trace

SECRET_PREFIX = "whsec_"  # noqa: S105  # what Standard Webhooks begins them with


def new_secret() -> str:
    """Of a webhook, as Standard Webhooks writes it: 256 random bits."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def event_of(job_id: str, generation: int) -> str:
    """Names the end of a job, once for each generation: its worker may have told of it twice, under two ids."""
    return f"msg_{uuid5(NAMESPACE_URL, f'urn:millrace:end:{job_id}.{generation}').hex}"


def notification_id(event: str, channel: Channel, target: str, again: str = "") -> str:
    """The job that tells this receiver of this event, whoever asks for it and however often."""
    return uuid5(NAMESPACE_URL, f"urn:millrace:notification:{event}\n{channel}\n{target}\n{again}").hex


@dataclass(frozen=True)
class Receiver:
    channel: Channel
    target: str


@dataclass(frozen=True)
class Rules:
    """What some people have said they want to be told of."""

    endpoints: Sequence[Endpoint] = ()
    preferences: dict[str, Preferences] = field(default_factory=dict)
    browsers: Sequence[Browser] = ()

    def receivers(self, principal: str, key: str) -> list[Receiver]:
        """Whom to tell that a job of this person has ended so."""
        wanted = self.preferences.get(principal, _USUAL)
        found = [
            Receiver(Channel.WEBHOOK, endpoint.id)
            for endpoint in self.endpoints
            if endpoint.principal == principal and _any(endpoint.topics, key)
        ]
        if _any(wanted.in_app.topics, key):
            found.append(Receiver(Channel.IN_APP, principal))
        if wanted.email.address and _any(wanted.email.topics, key):
            found.append(Receiver(Channel.EMAIL, principal))
        if _any(wanted.web_push.topics, key):
            mine = (browser for browser in self.browsers if browser.principal == principal)
            found += [Receiver(Channel.WEB_PUSH, browser.id) for browser in mine]
        return found


_USUAL = Preferences()


def _any(topics: Sequence[str], key: str) -> bool:
    return any(matches(topic, key) for topic in topics)


async def rules(database: Database, principals: Sequence[str]) -> Rules:
    """Raises StoreUnavailable."""
    said = await preferences.of(database, principals)
    return Rules(
        endpoints=await webhooks.of(database, principals),
        preferences={principal: preferences_of(stored) for principal, stored in said.items()},
        browsers=await preferences.browsers(database, principals),
    )


async def wanted_keys(database: Database) -> set[str]:
    """What the queue of notifications must be bound by: the ends that anybody asks for. Raises StoreUnavailable."""
    return keys_of({*USUAL_TOPICS, *await webhooks.topics(database), *await preferences.topics(database)})


def keys_of(topics: set[str]) -> set[str]:
    return {key for topic in topics for key in ending(topic)}


async def tell(
    outbox: Outbox,
    source: str,
    principal: str,
    command: SendNotification,
    *,
    job_id: str,
    traceparent: str | None = None,
    correlation_id: str | None = None,
) -> None:
    """Publish the command. Raises PublishFailed, BlobUnavailable."""
    envelope = command_envelope(
        NOTIFICATION_SEND,
        job_id=job_id,
        principal=principal,
        source=source,
        traceparent=traceparent or trace.child_of(None),
        correlation_id=correlation_id,
    )
    await outbox.request(envelope, command)


async def resend(database: Database, outbox: Outbox, source: str, entry: Entry) -> str:
    """Tell the receiver of an entry again, as an entry of its own. The job that does so: the same one however often
    it is asked for, until it has an entry. Raises PublishFailed, StoreUnavailable."""
    command = SendNotification(
        channel=entry.channel,
        target=entry.target,
        event=entry.event,
        job_id=entry.job_id,
        generation=entry.generation,
        resends=entry.id,
    )
    job_id = notification_id(entry.event, entry.channel, entry.target, again=entry.resent_by or entry.id)
    await tell(outbox, source, entry.principal, command, job_id=job_id)
    await deliveries.resent(database, entry.id, job_id)
    return job_id


async def recover(
    database: Database, outbox: Outbox, source: str, target: str, since: datetime, limit: int
) -> tuple[int, bool]:
    """Send again what has failed since then: how many, and whether there are more. Raises PublishFailed,
    StoreUnavailable."""
    failed = await deliveries.to_recover(database, target, since, limit + 1)
    for entry in failed[:limit]:
        await resend(database, outbox, source, entry)
    return min(len(failed), limit), len(failed) > limit
