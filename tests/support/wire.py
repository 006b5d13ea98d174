"""Messages as nobody of ours would send them, and a look into the store past everything of ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from schemas.contract import Contract
from schemas.envelope import Envelope, message_type
from tests.conftest import Deployment
from tests.support.waiting import eventually

Row = dict[str, Any]


async def publish(
    deployment: Deployment, exchange: str, routing_key: str, body: bytes, headers: Row | None = None
) -> None:
    """Straight onto an exchange, confirmed; the default exchange reaches a queue by its name."""
    connection = await aio_pika.connect(deployment.broker.url)
    async with connection, connection.channel() as channel:
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        message = aio_pika.Message(body, headers=headers or {}, message_id=uuid4().hex)
        await target.publish(message, routing_key=routing_key)


def command(contract: type[Contract], **changes: Any) -> Envelope:
    """The envelope of a command that no gateway sent."""
    job_id = uuid4().hex
    given = {
        "id": uuid4().hex,
        "source": "test",
        "type": message_type(contract.contract_name),
        "subject": job_id,
        "time": datetime.now(UTC),
        "dataschema": contract.dataschema,
        "job_id": job_id,
        "kind": contract.contract_name,
        "principal": "operator",
    }
    return Envelope.model_validate(given | changes)


@asynccontextmanager
async def raw_store(deployment: Deployment) -> AsyncIterator[AsyncDatabase[Row]]:
    """The database by a connection of the test's own: closing it takes nothing from the parts under test."""
    async with AsyncMongoClient[Row](deployment.storage.mongodb_url, tz_aware=True) as client:
        yield client.get_default_database()


async def letters(deployment: Deployment, count: int = 1, within_s: float = 10) -> list[Row]:
    """The dead letters, once there are this many."""
    async with raw_store(deployment) as store:

        async def enough() -> list[Row]:
            found = await store["dead_letters"].find().sort("died_at").to_list()
            return found if len(found) >= count else []

        return await eventually(enough, within_s=within_s)


async def is_drained(deployment: Deployment, queue: str) -> bool:
    """Whether the broker has nothing ready in a queue."""
    connection = await aio_pika.connect(deployment.broker.url)
    async with connection, connection.channel() as channel:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count == 0
