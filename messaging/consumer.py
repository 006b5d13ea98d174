"""Consuming: one connection per process, one channel with an explicit prefetch per queue, raw messages, manual acks.

FastStream connects, recovers and starts the subscribers. Decoding is the runtime's, because a message that FastStream
cannot decode is never settled and eats prefetch for ever; so once a subscription is open its messages come straight
from the wire, past a pipeline that has nothing to do for us and past a client that makes five objects of each.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from faststream.rabbit import RabbitBroker
from yarl import URL

from messaging import names
from messaging.bindings import Bindings
from messaging.delivery import QUESTION_DEADLINE_S, OnDelivery, Subscription
from messaging.publisher import BrokerUnavailable
from messaging.settings import BrokerSettings
from messaging.wired import WiredConnection

OnBroadcast = Callable[[dict[str, Any]], None]
OnConnected = Callable[[bool], None]


class ConsumerConnection:
    """The consuming connection of a process and its subscriptions."""

    def __init__(self, broker: RabbitBroker, connection: WiredConnection) -> None:
        self._broker, self._connection = broker, connection
        self._subscriptions: list[Subscription] = []

    async def subscribe(
        self, queue: str, prefetch: int, on_delivery: OnDelivery, *, careful: bool = False
    ) -> Subscription:
        """Consume `queue`. Exceptions in `on_delivery` must not leave it: they would leave the message unsettled."""
        subscription = Subscription(self._broker, self._connection, queue, prefetch, careful=careful)
        self._subscriptions.append(subscription)
        await subscription.start(on_delivery)
        return subscription

    async def listen(self, on_message: OnBroadcast, on_connected: OnConnected) -> None:
        """Hear what is broadcast on the control exchange, through a queue that lives as long as this connection.

        `on_connected(False)` is called when the connection is lost, after which broadcasts pass unheard, and
        `on_connected(True)` whenever they are heard from now on.
        """
        channel = await self._connection.channel()
        queue = await channel.declare_queue(names.control_queue(), exclusive=True, auto_delete=True)
        await queue.bind(names.CONTROL)

        async def hear(raw: AbstractIncomingMessage) -> None:
            on_message(raw.headers)

        await queue.consume(hear, no_ack=True)
        self._connection.close_callbacks.add(lambda *_: on_connected(False), weak=False)
        self._connection.reconnect_callbacks.add(lambda *_: on_connected(True), weak=False)
        on_connected(True)

    @property
    def bindings(self) -> Bindings:
        return Bindings(self._connection)

    async def depths(self) -> dict[str, int]:
        """Messages ready per queue; empty while the broker does not say.

        On a channel of its own: an answer that is given up on closes its channel, and with it whatever it consumes.
        """
        found: dict[str, int] = {}
        with suppress(TimeoutError, *CONNECTION_EXCEPTIONS):
            async with asyncio.timeout(QUESTION_DEADLINE_S), self._connection.channel() as channel:
                for subscription in self._subscriptions:
                    queue = await channel.declare_queue(subscription.queue, passive=True)
                    found[subscription.queue] = queue.declaration_result.message_count or 0
        return found

    async def abandon(self) -> None:
        """Give everything unsettled back to the broker, cancelling the handlers that hold it."""
        with suppress(*CONNECTION_EXCEPTIONS):
            await self._connection.close()
        await self._connection.wire.idle()

    def dead_subscriptions(self) -> list[str]:
        """Queues that we should be consuming and are not."""
        return [subscription.queue for subscription in self._subscriptions if not subscription.live()]

    def flush(self) -> None:
        """Send every acknowledgement that was asked for."""
        for subscription in self._subscriptions:
            subscription.flush()

    async def stop_taking(self) -> None:
        for subscription in self._subscriptions:
            await subscription.stop_taking()


@asynccontextmanager
async def open_consumer(settings: BrokerSettings, name: str) -> AsyncIterator[ConsumerConnection]:
    """Connect, and reconnect for as long as it is open. Raises BrokerUnavailable when that fails at the start."""
    broker = RabbitBroker(
        str(URL(settings.url).update_query(name=f"{name} consume")),
        reconnect_interval=1.0,
        client_properties={"heartbeat": settings.heartbeat_s},
        apply_types=False,  # our handlers take the raw message: injection would double the cost of a delivery
        logger=None,
        graceful_timeout=None,
    )
    broker._connection_kwargs["connection_class"] = WiredConnection  # there is no other way to say it
    try:
        async with asyncio.timeout(settings.publish_deadline_s):
            connection = cast("WiredConnection", await broker.connect())
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        await broker.stop()
        raise BrokerUnavailable(f"cannot connect to the broker: {error}") from error
    consumer = ConsumerConnection(broker, connection)
    try:
        yield consumer
    finally:
        consumer.flush()
        await broker.stop()
        await connection.wire.idle()
