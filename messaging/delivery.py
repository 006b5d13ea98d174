"""Taking the messages of one queue, on a channel of its own with an explicit prefetch: raw messages, manual acks.

**Careful start.** A message that kills its worker takes down everything prefetched beside it, and the broker counts a
return for each. So a new consumer takes one message at a time while what it gets was delivered before, and opens to
its full prefetch with the first fresh message. The killer then dies alone until the broker's delivery limit moves it
to the dead letters, and its neighbours are done long before.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast
from uuid import uuid4

import aiormq
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aio_pika.message import IncomingMessage
from aio_pika.robust_channel import RobustChannel
from aio_pika.robust_queue import RobustQueue
from faststream import AckPolicy
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from faststream.rabbit.message import RabbitMessage
from faststream.rabbit.subscriber.usecase import RabbitSubscriber

from messaging import codec
from messaging.acknowledger import Acknowledger
from messaging.wire import WireChannel
from messaging.wired import WiredConnection

QUESTION_DEADLINE_S = 2.0
_RETRY_S = 1.0


class Delivery:
    """One hand-over of one message by the broker."""

    __slots__ = ("_acknowledger", "_tag", "body", "delivered_before", "headers", "message_id", "queue", "routing_key")

    def __init__(
        self,
        queue: str,
        content: codec.Content,
        body: bytes,
        deliver: codec.Deliver,
        acknowledger: Acknowledger,
    ) -> None:
        self.queue, self.headers, self.body = queue, content.headers, body
        self.routing_key, self.message_id = deliver.routing_key, content.message_id
        self.delivered_before = deliver.redelivered
        self._tag, self._acknowledger = deliver.delivery_tag, acknowledger

    def ack(self) -> None:
        """Settle the message with the next acknowledgement. When its channel is gone the broker delivers it again."""
        self._acknowledger.done(self._tag)


OnDelivery = Callable[[Delivery], Coroutine[Any, Any, None] | None]


class Subscription:
    """One queue being consumed, at most `prefetch` messages at a time. What `on_delivery` returns runs as a task,
    which is cancelled when its channel ends."""

    def __init__(
        self, broker: RabbitBroker, connection: WiredConnection, queue: str, prefetch: int, *, careful: bool
    ) -> None:
        self.queue, self._prefetch, self._connection = queue, prefetch, connection
        self._careful, self._opened = careful, prefetch == 1
        self._taking = self._stopped = False
        self._changing = asyncio.Lock()  # opening, pausing and resuming each cancel or replace the consumer
        self._opening: asyncio.Task[None] | None = None
        self._channel: WireChannel | None = None
        self._acknowledger: Acknowledger | None = None
        self._subscriber: RabbitSubscriber = broker.subscriber(
            RabbitQueue(queue, durable=True, queue_type=QueueType.QUORUM, declare=False),
            channel=Channel(prefetch_count=1),
            ack_policy=AckPolicy.MANUAL,
            parser=_as_is,
            decoder=_raw_message,
        )

    async def start(self, on_delivery: OnDelivery) -> None:
        self._on_delivery = on_delivery
        self._subscriber(self._take_carefully)
        await self._subscriber.start()
        self._taking = True

    def flush(self) -> None:
        """Send every acknowledgement that was asked for."""
        if self._acknowledger is not None:
            self._acknowledger.flush()

    async def _take_carefully(self, raw: IncomingMessage) -> None:
        if not (raw.redelivered and self._careful) and not self._opened:
            self._opened = True
            self._opening = asyncio.create_task(self._open())
        channel = self._connection.wire.channel(raw.channel.number)
        deliver = codec.Deliver("", raw.delivery_tag or 0, bool(raw.redelivered), raw.routing_key or "")
        content = codec.Content(raw.body_size, raw.headers, raw.message_id or "")
        self._take(channel, deliver, content, raw.body)

    def _take(self, channel: WireChannel, deliver: codec.Deliver, content: codec.Content, body: bytes) -> None:
        delivery = Delivery(self.queue, content, body, deliver, self._acknowledger_of(channel))
        if (running := self._on_delivery(delivery)) is not None:
            channel.spawn(running)

    def _acknowledger_of(self, channel: WireChannel) -> Acknowledger:
        """Reconnection replaces the channel, and tags count from 1 again."""
        if self._acknowledger is None or self._channel is not channel:
            self._channel, self._acknowledger = channel, Acknowledger(channel.ack)
        return self._acknowledger

    def live(self) -> bool:
        """Whether the broker still has us as a consumer: reconnection may bring back the channel without it."""
        if not self._taking:
            return True
        amqp, tag = self._amqp_consumer()
        channel = cast("RobustChannel", amqp.channel)
        if channel.is_closed or channel._channel is None:
            return False
        return tag in cast("aiormq.Channel", channel._channel.channel).consumers

    async def stop_taking(self) -> None:
        """No new deliveries from here on. Those already here run to their end: see `ConsumerConnection.drain`.

        Done on AMQP level because FastStream's own stop() drains first and hoards what arrives meanwhile.
        """
        self._stopped = True
        if self._opening is not None:  # half-way through opening, the tag is nobody's: let it finish if it can
            await asyncio.wait([self._opening], timeout=QUESTION_DEADLINE_S)
            self._opening.cancel()
        await self.pause()

    async def pause(self) -> None:
        """No new deliveries until `resume`."""
        async with self._changing:
            if not self._taking:
                return
            self._taking = False
            amqp, tag = self._amqp_consumer()
            amqp._consumers.clear()  # or a reconnection would bring the consumer back
            with suppress(TimeoutError, *CONNECTION_EXCEPTIONS):
                async with asyncio.timeout(QUESTION_DEADLINE_S):
                    await amqp.cancel(tag)
            self._connection.consumers.pop(tag, None)

    async def resume(self, prefetch: int | None = None) -> None:
        """Take work again after `pause`, `prefetch` messages at a time instead of as many as before when given.
        Returns when the broker has us as a consumer, however long it is away."""
        async with self._changing:
            self._taking = await self._consume(prefetch or self._prefetch)

    async def _open(self) -> None:
        async with self._changing:
            if self._taking:
                amqp, tag = self._amqp_consumer()
                amqp._consumers.clear()
                with suppress(*CONNECTION_EXCEPTIONS):
                    await amqp.cancel(tag)
                self._connection.consumers.pop(tag, None)
                self._taking = await self._consume(self._prefetch)

    async def _consume(self, prefetch: int) -> bool:
        """Become a consumer, unless the process stops meanwhile. A prefetch applies to consumers that start later."""
        amqp, _ = self._amqp_consumer()
        tag = f"{self.queue}.{uuid4().hex}"
        self._connection.consumers[tag] = self._take
        while not self._stopped:
            try:
                await amqp.channel.set_qos(prefetch_count=prefetch)
                self._subscriber._consumer_tag = await amqp.consume(_taken_elsewhere, consumer_tag=tag)
            except CONNECTION_EXCEPTIONS:  # there is no consumer yet that reconnection would restore
                await asyncio.sleep(_RETRY_S)
            else:
                return True
        return False

    def _amqp_consumer(self) -> tuple[RobustQueue, str]:
        """FastStream keeps both to itself; started subscribers have them."""
        return cast("tuple[RobustQueue, str]", (self._subscriber._queue_obj, self._subscriber._consumer_tag))


async def _taken_elsewhere(_raw: AbstractIncomingMessage) -> None:
    raise RuntimeError("messages of this consumer do not reach aio-pika")


async def _as_is(raw: IncomingMessage, _default: Any) -> RabbitMessage:
    return RabbitMessage(raw_message=raw, body=raw.body, headers=raw.headers)


async def _raw_message(message: RabbitMessage, _default: Any) -> IncomingMessage:
    return message.raw_message
