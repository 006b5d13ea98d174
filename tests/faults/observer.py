"""Independent witnesses: a queue of their own that gets every message, and a reader of the store.

They note what they see; `checker.py` judges it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from messaging import names
from messaging.topology import topology
from schemas.kinds import kinds
from schemas.lifecycle import JobState
from tests.faults.cluster import Cluster
from tests.faults.history import Ending, Row, Seen
from tests.support.waiting import eventually

_QUEUE = "observer"
_TERMINAL = [state.value for state in JobState if state.terminal]
_LOOK_S = 0.3
_BROKER_S = 60.0


@asynccontextmanager
async def channel_to(broker_url: str) -> AsyncIterator[AbstractChannel]:
    """Past every proxy. Waits for a broker that is just being killed."""

    async def connected() -> AbstractConnection | None:
        try:
            return await aio_pika.connect(broker_url)
        except CONNECTION_EXCEPTIONS:
            return None

    connection = await eventually(connected, within_s=_BROKER_S, every_s=0.2)
    assert connection is not None
    async with connection, connection.channel() as channel:
        yield channel


async def depths(broker_url: str) -> dict[str, int]:
    """Messages ready in every queue of ours."""
    found = {}
    async with channel_to(broker_url) as channel:
        for queue in topology(kinds()).queues:
            declared = await channel.declare_queue(queue.name, passive=True)
            found[queue.name] = declared.declaration_result.message_count or 0
    return found


class Messages:
    """Every command and event in the order in which the broker routed them, from a durable queue of our own."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self.seen: list[Seen] = []

    async def bind(self) -> None:
        async with channel_to(self._url) as channel:
            queue = await channel.declare_queue(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            for exchange in (names.COMMANDS, names.EVENTS):
                await queue.bind(exchange, "#")

    async def read(self) -> None:
        """Take over what has come since the last time, some of it twice when the broker goes away meanwhile."""
        await _again_if_cut_off(self._read)

    async def send(self, messages: Sequence[Seen], *, queue: str) -> None:
        """Straight into one queue, as a doubled or belated delivery would come. At least once each."""
        await _again_if_cut_off(lambda: self._send(messages, queue))

    async def _read(self) -> None:
        async with channel_to(self._url) as channel:
            queue = await channel.get_queue(_QUEUE)
            while message := await queue.get(fail=False, timeout=10):
                self.seen.append(Seen.of(message.headers, message.body))
                await message.ack()

    async def _send(self, messages: Sequence[Seen], queue: str) -> None:
        async with channel_to(self._url) as channel:
            for seen in messages:
                message = aio_pika.Message(
                    seen.body, headers=seen.headers, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                )
                await channel.default_exchange.publish(message, routing_key=queue)


async def _again_if_cut_off(exchange: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await exchange()
        except CONNECTION_EXCEPTIONS:
            continue


class Documents:
    """Looks at the projection again and again, and notes every ending that a job was ever seen with."""

    def __init__(self, database: AsyncDatabase[Row]) -> None:
        self._database = database
        self.endings: dict[str, list[Ending]] = {}
        self.epochs: dict[str, list[int]] = {}

    async def look(self) -> None:
        """Raises PyMongoError."""
        for row in await self._database["jobs"].find({"status": {"$in": _TERMINAL}}).to_list():
            ending, seen = Ending.of(row), self.endings.setdefault(row["_id"], [])
            if not seen or seen[-1] != ending:
                seen.append(ending)
        for lease in await self._database["leases"].find({}, {"epoch": 1}).to_list():
            self.epochs.setdefault(lease["_id"], []).append(lease["epoch"])

    async def watch(self) -> None:
        while True:
            with suppress(PyMongoError):  # the store is one of the things that break
                await self.look()
            await asyncio.sleep(_LOOK_S)

    async def unfinished(self) -> set[str]:
        """Jobs, accepted or not, that the projection shows as queued or running. Raises PyMongoError."""
        found = await self._database["jobs"].find({"status": {"$nin": _TERMINAL}}, {"_id": 1}).to_list()
        return {row["_id"] for row in found}

    async def rows(self, collection: str, wanted: dict[str, Any] | None = None) -> list[Row]:
        """Raises PyMongoError."""
        return await self._database[collection].find(wanted or {}).to_list()


@asynccontextmanager
async def watching(cluster: Cluster) -> AsyncIterator[tuple[Messages, Documents]]:
    messages = Messages(cluster.broker_url)
    await messages.bind()
    async with AsyncMongoClient[Row](cluster.mongodb_url, tz_aware=True, timeoutMS=2_000) as client:
        documents = Documents(client.get_default_database())
        watch = asyncio.create_task(documents.watch())
        try:
            yield messages, documents
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
