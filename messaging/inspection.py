"""What the broker says of its queues without being asked for a message: how many are ready, and who consumes.

Messages that a consumer holds unacknowledged are not among the ready ones, and no AMQP method counts them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity

from messaging.publisher import BrokerUnavailable, connect
from messaging.settings import BrokerSettings

_DEADLINE_S = 1.0


@dataclass(frozen=True)
class QueueCount:
    ready: int
    consumers: int


class Inspector(Protocol):
    async def count(self, queues: Iterable[str]) -> dict[str, QueueCount]:
        """By queue; one that does not exist is left out. Raises BrokerUnavailable."""


class AmqpInspector:
    """Asks on channels of its own: an answer that is given up on closes its channel."""

    def __init__(self, connection: AbstractRobustConnection, deadline_s: float = _DEADLINE_S) -> None:
        self._connection, self._deadline_s = connection, deadline_s

    async def count(self, queues: Iterable[str]) -> dict[str, QueueCount]:
        if not self._connection.connected.is_set():  # or opening a channel would wait for the reconnection
            raise BrokerUnavailable("not connected to the broker")
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._count(list(queues))
        except TimeoutError:
            raise BrokerUnavailable(f"no answer from the broker within {self._deadline_s:g} s") from None
        except CONNECTION_EXCEPTIONS as error:
            raise BrokerUnavailable(f"connection to the broker lost: {error}") from error

    async def _count(self, queues: list[str]) -> dict[str, QueueCount]:
        found: dict[str, QueueCount] = {}
        while queues:
            try:
                async with self._connection.channel() as channel:
                    while queues:
                        declared = (await channel.declare_queue(queues[0], passive=True)).declaration_result
                        found[queues.pop(0)] = QueueCount(declared.message_count or 0, declared.consumer_count or 0)
            except ChannelNotFoundEntity:  # the broker closed the channel over it
                queues.pop(0)
        return found


@asynccontextmanager
async def open_inspector(settings: BrokerSettings, name: str) -> AsyncIterator[AmqpInspector]:
    """With a connection of its own, for those who hold none. Raises BrokerUnavailable."""
    connection = await connect(settings, f"{name} inspect")
    try:
        yield AmqpInspector(connection, settings.publish_deadline_s)
    finally:
        await connection.close()
