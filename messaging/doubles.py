"""Test doubles of this room's ports."""

from dataclasses import dataclass, field

from messaging.message import OutgoingMessage
from messaging.publisher import PublishFailed


@dataclass(frozen=True)
class Published:
    message: OutgoingMessage
    exchange: str
    routing_key: str


@dataclass
class RecordingPublisher:
    """Keeps what would have been published; raises `failure` instead when one is set."""

    published: list[Published] = field(default_factory=list)
    failure: PublishFailed | None = None
    connected: bool = True

    async def publish(self, message: OutgoingMessage, *, exchange: str, routing_key: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.published.append(Published(message, exchange, routing_key))
