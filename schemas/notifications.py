"""Notifications over HTTP: webhooks and their deliveries, preferences, and what a person finds in the application."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    HttpUrl,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from schemas.jobs.notification_send import Channel, DeliveryState
from schemas.patterns import Pattern
from schemas.resources import Resource, Time
from schemas.topics import EndTopic

USUAL_TOPICS = ("dataset.*.*", "model.train.*", "model.predict-dataset.*", "#.died")
"""What somebody who has said nothing finds in the application: the ends of what takes long, and what went wrong."""

Topics = Annotated[list[EndTopic], Field(max_length=50)]


_HTTP = TypeAdapter(HttpUrl)


def _url(text: str) -> str:
    """As it is requested. Raises ValueError for what a request cannot say."""
    try:
        url = _HTTP.validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None
    if url.username or url.password:
        raise ValueError("no user and password in the URL: the signature tells that it is us")
    return urlsplit(str(url))._replace(fragment="").geturl()


Url = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_url)]


class _Request(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class WebhookRequest(_Request):
    url: Url
    """Where it is told: HTTPS, but for a network of your own."""
    topics: Annotated[Topics, Field(min_length=1)]
    """Which ends of your jobs: `model.train.succeeded`, `model.train.*`, `*.*.died`, `#`."""
    description: Annotated[str, StringConstraints(max_length=500)] = ""


class WebhookChange(_Request):
    """What is left out stays as it is."""

    url: Url | None = None
    topics: Annotated[Topics, Field(min_length=1)] | None = None
    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    enabled: bool | None = None


class Webhook(Resource):
    """An endpoint that is told of events, signed as Standard Webhooks says."""

    id: str
    url: str
    topics: list[str]
    description: str
    created_at: Time
    enabled: bool
    disabled_because: str | None
    failing_since: Time | None
    """Since when no delivery has come through; null while they do."""
    secrets: int
    """How many secrets sign: two for a while after a rotation."""


class WebhookWithSecret(Webhook):
    secret: str
    """Shown this once."""


class RotateRequest(_Request):
    keep_old_s: Annotated[int, Field(ge=0, le=7 * 86_400)] = 86_400
    """How long the secret before signs as well."""


class RecoverRequest(_Request):
    since: AwareDatetime


class Recovered(Resource):
    count: int
    """Failed deliveries that are on their way again."""
    more: bool
    """Whether there are more: ask again."""


class Attempt(Resource):
    at: Time
    duration_s: float
    status: int | None = None
    """Of the answer; null when there was none."""
    error: str | None = None
    response: str = ""
    """The beginning of the answer."""


class Delivery(Resource):
    """An entry of the delivery log."""

    id: str
    """Of the job that delivers it as well."""
    channel: Channel
    event: str
    """`webhook-id`: equal for every delivery of one event."""
    type: str
    state: DeliveryState
    created_at: Time
    job_id: str | None
    """Whose end it tells; null for a test."""
    resends: str | None
    resent_by: str | None
    attempts: list[Attempt]
    """Oldest first; the newest twenty."""
    request: dict[str, JsonValue] | None
    """URL, headers and body as they were sent last."""


class DeliveryPage(Resource):
    items: list[Delivery]
    next: str | None
    """Path of the next page; null on the last."""


class Digest(StrEnum):
    OFF = "off"
    HOURLY = "hourly"
    DAILY = "daily"

    @property
    def period(self) -> timedelta | None:
        return {"hourly": timedelta(hours=1), "daily": timedelta(days=1)}.get(self)


class ChannelPreferences(_Request):
    topics: Topics = Field(default_factory=list)
    """Of which ends of your jobs this channel tells; of none when empty."""


EmailAddress = Annotated[
    str,
    StringConstraints(max_length=254),
    Pattern(r"^[^@\s<>\"]+@[^@\s<>\"]+$", "an e-mail address alone, such as 'ada@example.org'"),
]


class EmailPreferences(ChannelPreferences):
    address: EmailAddress | None = None
    digest: Digest = Digest.OFF
    """Whether they come one by one, or together at each full hour or day (UTC)."""


class Preferences(_Request):
    """What one person is told of, by channel."""

    in_app: ChannelPreferences = ChannelPreferences(topics=list(USUAL_TOPICS))
    email: EmailPreferences = EmailPreferences()
    web_push: ChannelPreferences = ChannelPreferences()

    @property
    def topics(self) -> set[str]:
        return {*self.in_app.topics, *self.email.topics, *self.web_push.topics}


class Notification(Resource):
    id: str
    type: str
    """`<kind>.<fact>` of the event, or what it is about of our own."""
    title: str
    text: str
    job_id: str | None
    created_at: Time
    read_at: Time | None


class NotificationPage(Resource):
    items: list[Notification]
    unread: int
    next: str | None
    """Path of the next page; null on the last."""


class ReadRequest(_Request):
    ids: Annotated[list[str], Field(max_length=1_000)] | None = None
    """All of them when left out."""


class Unread(Resource):
    unread: int


class PushKeys(_Request):
    p256dh: Annotated[str, Pattern(r"^[A-Za-z0-9_-]{80,100}={0,2}$", "the browser's key `p256dh` as it gave it")]
    auth: Annotated[str, Pattern(r"^[A-Za-z0-9_-]{20,30}={0,2}$", "the browser's key `auth` as it gave it")]


class PushRequest(_Request):
    """What a browser's `PushSubscription.toJSON()` says."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    endpoint: Url
    keys: PushKeys


class PushSubscription(Resource):
    id: str
    endpoint: str
    created_at: Time


class PushKey(Resource):
    key: str
    """What a browser wants as `applicationServerKey`."""


def preferences_of(stored: dict[str, Any] | None) -> Preferences:
    return Preferences() if stored is None else Preferences.model_validate(stored)
