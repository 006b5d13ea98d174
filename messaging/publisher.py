"""Publishing that either succeeded or raised: persistent, mandatory, confirmed, within a deadline.

Uses aio-pika's connection and recovery, but aiormq's `basic_publish` for the publish itself: aio-pika's own waits for
the socket to drain while it holds the channel's lock, which makes concurrent publishes go one by one.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Protocol, cast
from uuid import uuid4

import aio_pika
import aiormq
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError

from messaging.message import OutgoingMessage
from messaging.settings import BrokerSettings
from telemetry import metrics

_RECONNECT_INTERVAL_S = 1


class PublishFailed(Exception):
    """The broker did not take the message, or did not say so in time. It may still have it: publish again, under the
    same event id, or tell the caller."""


class BrokerUnavailable(PublishFailed):
    """No connection, no confirm within the deadline, or a refusal because a queue is full."""


class Unroutable(PublishFailed):
    """No queue is bound for this message: the topology is not what this code expects."""


class Publisher(Protocol):
    async def publish(self, message: OutgoingMessage, *, exchange: str, routing_key: str) -> None:
        """Return once the broker has the message on disk in every queue it was routed to. Raises PublishFailed."""

    @property
    def connected(self) -> bool: ...


class AmqpPublisher:
    """One connection and one channel for publishing only: a resource alarm blocks publishing connections, and must
    not block acknowledgements."""

    def __init__(
        self, connection: AbstractRobustConnection, channel: AbstractRobustChannel, deadline_s: float
    ) -> None:
        self.connection, self._channel, self._deadline_s = connection, channel, deadline_s
        # A message id of its own for every transmission: the channel matches returned messages by it.
        self._name, self._transmissions = uuid4().hex, count()

    @property
    def connected(self) -> bool:
        return self.connection.connected.is_set() and not self._channel.is_closed

    async def publish(self, message: OutgoingMessage, *, exchange: str, routing_key: str) -> None:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._send(message, exchange, routing_key)
        except TimeoutError:
            raise BrokerUnavailable(f"no confirm from the broker within {self._deadline_s:g} s") from None
        except PublishError as error:
            raise Unroutable(f"nothing is bound to {exchange!r} for {routing_key!r}") from error
        except DeliveryError as error:
            raise BrokerUnavailable(f"the broker refused a message for {routing_key!r}; its queue is full") from error
        except CONNECTION_EXCEPTIONS as error:
            raise BrokerUnavailable(f"connection to the broker lost: {error}") from error
        metrics.PUBLISH_SECONDS.labels(exchange).observe(time.perf_counter() - started)

    async def _send(self, message: OutgoingMessage, exchange: str, routing_key: str) -> None:
        if not self.connected:  # at once, so that a caller is told instead of kept waiting
            raise BrokerUnavailable("not connected to the broker")
        channel = cast("aiormq.Channel", await self._channel.get_underlay_channel())
        try:
            await self._publish_on(channel, message, exchange, routing_key)
        except asyncio.CancelledError:
            # How aiormq ends waiting for a confirm on a connection that it gives up: nobody has cancelled us.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise BrokerUnavailable("connection to the broker given up before its confirm") from None

    async def _publish_on(
        self, channel: aiormq.Channel, message: OutgoingMessage, exchange: str, routing_key: str
    ) -> None:
        await channel.basic_publish(
            message.body,
            exchange=exchange,
            routing_key=routing_key,
            mandatory=True,
            wait=False,
            properties=aiormq.spec.Basic.Properties(
                headers=message.headers,
                content_type="application/json",
                delivery_mode=2,
                message_id=f"{self._name}-{next(self._transmissions)}",
            ),
        )


@asynccontextmanager
async def open_publisher(settings: BrokerSettings, name: str) -> AsyncIterator[AmqpPublisher]:
    """Connect, and reconnect for as long as it is open. `name` is what operators see in the broker's connections.

    Raises BrokerUnavailable when the broker cannot be reached at the start.
    """
    connection = await connect(settings, f"{name} publish")
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        yield AmqpPublisher(connection, channel, settings.publish_deadline_s)
    finally:
        await connection.close()


async def connect(settings: BrokerSettings, name: str) -> AbstractRobustConnection:
    """Raises BrokerUnavailable."""
    try:
        return await aio_pika.connect_robust(
            settings.url,
            timeout=settings.publish_deadline_s,
            reconnect_interval=_RECONNECT_INTERVAL_S,
            heartbeat=settings.heartbeat_s,
            client_properties={"connection_name": name},
        )
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise BrokerUnavailable(f"cannot connect to the broker: {error}") from error
