"""Bindings that come and go while everything runs: those of a queue that gets what somebody asks for."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from messaging.publisher import BrokerUnavailable

_DEADLINE_S = 5.0


class Bindings:
    """Both ways are idempotent and raise BrokerUnavailable."""

    def __init__(self, connection: AbstractRobustConnection) -> None:
        self._connection = connection

    async def bind(self, queue: str, exchange: str, keys: Iterable[str]) -> None:
        async with self._found(queue) as bound:
            for key in keys:
                await bound.bind(exchange, key)

    async def unbind(self, queue: str, exchange: str, keys: Iterable[str]) -> None:
        async with self._found(queue) as bound:
            for key in keys:
                await bound.unbind(exchange, key)

    @asynccontextmanager
    async def _found(self, queue: str) -> AsyncIterator[AbstractQueue]:
        """On a channel of its own: what the broker refuses closes it."""
        if not self._connection.connected.is_set():  # or opening a channel would wait for the reconnection
            raise BrokerUnavailable("not connected to the broker")
        try:
            async with asyncio.timeout(_DEADLINE_S), self._connection.channel() as channel:
                yield await channel.get_queue(queue, ensure=False)
        except TimeoutError:
            raise BrokerUnavailable(f"no answer from the broker within {_DEADLINE_S:g} s") from None
        except CONNECTION_EXCEPTIONS as error:
            raise BrokerUnavailable(f"connection to the broker lost: {error}") from error
