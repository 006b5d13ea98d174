"""`notification.send`: tell one receiver of one event.

The command refers: what is told is what the store knows of the job, and secrets stay where the endpoint is kept.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from schemas.contract import Contract
from schemas.kinds import JobKind

Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Channel(StrEnum):
    WEBHOOK = "webhook"
    EMAIL = "email"
    IN_APP = "in-app"
    WEB_PUSH = "web-push"


class DeliveryState(StrEnum):
    PENDING = "pending"
    """An attempt failed and there will be another."""
    DELIVERED = "delivered"
    HELD = "held"
    """It waits for the next digest."""
    FAILED = "failed"


class SendNotification(Contract, name="notification.send"):
    """Tell one receiver that a job has ended."""

    channel: Channel
    target: Id
    """The endpoint or subscription; the person where the channel has one for each."""
    event: Id
    """What happened, the same for every receiver."""
    job_id: Id | None = None
    """Whose end it is; without it, and without a digest, the notification is a test."""
    generation: Annotated[int, Field(ge=0)] = 0
    digest_until: AwareDatetime | None = None
    """Send what was held back until then, as one."""
    resends: Id | None = None
    """The delivery that this one repeats."""


class NotificationSent(Contract, name="notification.sent"):
    """How it came out."""

    state: DeliveryState
    receipt: str = ""
    """What the receiver answered: a status or a reply."""


# An hour after the first try five have failed; the last is some 19 hours after it.
NOTIFICATION_SEND = JobKind(
    SendNotification,
    NotificationSent,
    max_attempts=10,
    backoff_s=(1, 4, 30, 300, 1800, 3600, 7200, 18_000, 36_000),
)
