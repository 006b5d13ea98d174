"""Reading a queue without emptying it: each message is copied, put back behind the others, only then acknowledged.

AMQP has no browsing. A crash in between leaves a message twice, which every consumer bears; its count of returns and
its time in a delay tier begin anew.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity, QueueEmpty

from messaging import names
from messaging.message import OutgoingMessage, without_broker_headers
from messaging.publisher import AmqpPublisher, BrokerUnavailable

# Each message that is got is settled by a command of its own, of which a channel of RabbitMQ has 32 under way. The
# others it forgets when it closes: of 50 acknowledged at the end 17 came back (3.10).
_BATCH = 16
_TIERS = {names.retry_tier(delay_s) for delay_s in names.RETRY_TIERS_S}


async def rotate(
    publisher: AmqpPublisher, queue: str, copy_to: str, wanted: Callable[[dict[str, Any], bytes], bool]
) -> int:
    """Copy what is `wanted` of the messages that are ready now to the queue `copy_to`; returns how many.

    Raises PublishFailed; then what was taken and not acknowledged goes back by itself.
    """
    try:
        async with publisher.connection.channel() as channel:
            source = await channel.declare_queue(queue, passive=True)
            left, copied = source.declaration_result.message_count or 0, 0
            while left > 0:
                taken = []
                for _ in range(min(left, _BATCH)):
                    try:
                        taken.append(await source.get())
                    except QueueEmpty:  # its consumers were faster
                        left = 0
                        break
                left -= len(taken)
                copied += sum(await asyncio.gather(*(_turn(publisher, queue, copy_to, wanted, it) for it in taken)))
                if taken:
                    await taken[-1].ack(multiple=True)
            return copied
    except ChannelNotFoundEntity:
        return 0
    except CONNECTION_EXCEPTIONS as error:
        raise BrokerUnavailable(f"connection to the broker lost: {error}") from error


async def _turn(
    publisher: AmqpPublisher,
    queue: str,
    copy_to: str,
    wanted: Callable[[dict[str, Any], bytes], bool],
    taken: AbstractIncomingMessage,
) -> bool:
    message = OutgoingMessage(without_broker_headers(taken.headers), taken.body)
    copy = wanted(taken.headers, taken.body)
    if copy:
        await publisher.publish(message, exchange=names.DEFAULT_EXCHANGE, routing_key=copy_to)
    # A message in a tier keeps the name of its work queue as routing key, and finds its way by it.
    back, key = (queue, taken.routing_key or "") if queue in _TIERS else (names.DEFAULT_EXCHANGE, queue)
    await publisher.publish(message, exchange=back, routing_key=key)
    return copy
