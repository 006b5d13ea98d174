"""Who wants to be told of what, and what was told."""

from datetime import datetime
from typing import Any

from beanie import Document
from pydantic import BaseModel, Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from schemas.jobs.notification_send import Channel, DeliveryState
from storage.documents.rows import Row


class StoredSecret(BaseModel):
    key: str
    """As the receiver has it, `whsec_` and all."""
    until: datetime | None = None
    """When it was replaced and how long it still signs; None for the newest."""


class Endpoint(Row):
    """An endpoint of somebody else's that is told of events."""

    principal: str
    url: str
    description: str
    topics: list[str]
    secrets: list[StoredSecret]
    """Newest first."""
    created_at: datetime
    updated_at: datetime
    enabled: bool = True
    disabled_because: str | None = None
    failing_since: datetime | None = None
    """Since when no delivery has come through."""
    asked_sha256: str = ""
    """Of the request that made it, by which a repeat of it is known."""


class WebhookDocument(Endpoint, Document):
    """An endpoint as the store declares it."""

    class Settings:
        name = "webhooks"
        indexes = [IndexModel([("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])]  # noqa: RUF012


class PreferencesDocument(Document):
    """What one person is told of, by channel. Who has none gets what is usual."""

    id: str  # type: ignore[assignment]  # the principal
    schema_version: int = 1
    preferences: dict[str, Any]
    """JSON of `Preferences`."""
    updated_at: datetime

    class Settings:
        name = "notification_preferences"


class Browser(Row):
    """A browser that takes web push."""

    principal: str
    endpoint: str
    keys: dict[str, str]
    created_at: datetime


class PushSubscriptionDocument(Browser, Document):
    """A browser as the store declares it."""

    class Settings:
        name = "push_subscriptions"
        indexes = [IndexModel([("principal", ASCENDING)])]  # noqa: RUF012


class PushKeyDocument(Document):
    """The key by which push services know us; made once, by whoever needs it first."""

    id: str  # type: ignore[assignment]
    schema_version: int = 1
    private: str
    """PEM."""
    public: str
    """As browsers want it: the point, in base64url."""

    class Settings:
        name = "push_keys"


class Entry(Row):
    """An entry of the delivery log: one event for one receiver, however often it was tried."""

    # Its id is the job's that delivers it.
    principal: str
    channel: Channel
    target: str
    event: str
    type: str
    job_id: str | None = None
    generation: int = 0
    resends: str | None = None
    """The entry that this one repeats."""
    resent_by: str | None = None
    """The entry that repeats this one."""
    created_at: datetime
    state: DeliveryState
    attempts: list[dict[str, Any]] = Field(default_factory=list)
    """The newest last; only so many are kept."""
    request: dict[str, Any] | None = None
    """What was sent last."""
    expires_at: datetime


class DeliveryDocument(Entry, Document):
    """An entry as the store declares it."""

    class Settings:
        name = "deliveries"
        indexes = [  # noqa: RUF012
            IndexModel([("target", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
        ]


class Held(Row):
    """A line of the digest that a person gets next."""

    # Its id is the delivery's.
    principal: str
    held_at: datetime
    due_at: datetime
    notice: dict[str, Any]
    job: str | None = None
    """Which sends it, once one has begun to."""


class HeldDocument(Held, Document):
    """A line as the store declares it."""

    class Settings:
        name = "held_notifications"
        indexes = [  # noqa: RUF012
            IndexModel([("job", ASCENDING), ("due_at", ASCENDING)]),
            IndexModel([("held_at", ASCENDING)], expireAfterSeconds=30 * 24 * 3600),  # of jobs that are dead
        ]


class Told(Row):
    """What a person finds in the application."""

    # Its id is the delivery's, or of what it is about.
    principal: str
    type: str
    title: str
    text: str
    job_id: str | None = None
    created_at: datetime
    read_at: datetime | None = None
    expires_at: datetime


class NotificationDocument(Told, Document):
    """As the store declares it."""

    class Settings:
        name = "notifications"
        indexes = [  # noqa: RUF012
            IndexModel([("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]),
            IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
        ]
