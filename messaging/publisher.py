"""Publishing that either succeeded or raised: persistent, mandatory, confirmed, within a deadline.

aio-pika connects, opens the channel and recovers both; the publish itself goes under it, onto the wire.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Protocol, cast

import aio_pika
import aiormq
from aio_pika.abc import AbstractRobustChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from prometheus_client import Histogram

from messaging.confirms import Confirms, Fate
from messaging.message import OutgoingMessage
from messaging.settings import BrokerSettings
from messaging.wired import WiredConnection
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

    def __init__(self, connection: WiredConnection, channel: AbstractRobustChannel, deadline_s: float) -> None:
        self.connection, self._channel, self._deadline_s = connection, channel, deadline_s
        self._confirms: Confirms | None = None

    @property
    def connected(self) -> bool:
        return self.connection.connected.is_set() and not self._channel.is_closed

    async def publish(self, message: OutgoingMessage, *, exchange: str, routing_key: str) -> None:
        started = time.perf_counter()
        confirms = self._confirms
        if confirms is None or not confirms.channel.is_open or not confirms.channel.wire.writable.is_set():
            confirms = await self._ready()
        fate = await confirms.publish(exchange, routing_key, message.headers, message.body)
        if fate is not Fate.TAKEN:
            raise _failure(fate, exchange, routing_key, self._deadline_s)
        _seconds_of(exchange).observe(time.perf_counter() - started)

    async def _ready(self) -> Confirms:
        """The channel that publishes now, when its socket takes something."""
        if not self.connected:  # at once, so that a caller is told instead of kept waiting
            raise BrokerUnavailable("not connected to the broker")
        try:
            async with asyncio.timeout(self._deadline_s):
                underlay = cast("aiormq.Channel", await self._channel.get_underlay_channel())
                await self.connection.wire.writable.wait()
        except TimeoutError:
            raise BrokerUnavailable(f"the broker takes nothing, for {self._deadline_s:g} s") from None
        except CONNECTION_EXCEPTIONS as error:
            raise BrokerUnavailable(f"connection to the broker lost: {error}") from error
        channel = self.connection.wire.channel(underlay.number)
        if underlay.is_closed or not channel.is_open:  # which aio-pika is about to notice
            raise BrokerUnavailable("connection to the broker lost")
        if self._confirms is None or self._confirms.channel is not channel:
            frame_max = underlay.connection.connection_tune.frame_max
            self._confirms = Confirms(channel, frame_max, self._deadline_s)
        return self._confirms


def _failure(fate: Fate, exchange: str, routing_key: str, deadline_s: float) -> PublishFailed:
    match fate:
        case Fate.RETURNED:
            return Unroutable(f"nothing is bound to {exchange!r} for {routing_key!r}")
        case Fate.REFUSED:
            return BrokerUnavailable(f"the broker refused a message for {routing_key!r}; its queue is full")
        case Fate.OVERDUE:
            return BrokerUnavailable(f"no confirm from the broker within {deadline_s:g} s")
        case _:
            return BrokerUnavailable("connection to the broker lost before its confirm")


@cache
def _seconds_of(exchange: str) -> Histogram:
    return metrics.PUBLISH_SECONDS.labels(exchange)


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


async def connect(settings: BrokerSettings, name: str) -> WiredConnection:
    """Raises BrokerUnavailable."""
    try:
        return await aio_pika.connect_robust(
            settings.url,
            timeout=settings.publish_deadline_s,
            reconnect_interval=_RECONNECT_INTERVAL_S,
            heartbeat=settings.heartbeat_s,
            client_properties={"connection_name": name},
            connection_class=WiredConnection,
        )
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise BrokerUnavailable(f"cannot connect to the broker: {error}") from error
