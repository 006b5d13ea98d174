"""The real servers that tests run against."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from millrace.stack.services import RabbitMQ, Redis, Store


@dataclass(frozen=True)
class Servers:
    rabbitmq: RabbitMQ
    redis: Redis
    store: Store


@asynccontextmanager
async def open_servers(folder: Path) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        rabbitmq = RabbitMQ(folder / "rabbitmq", management=True)
        found = Servers(rabbitmq, Redis(folder / "redis"), Store(folder / "store"))
        await asyncio.gather(
            *(stack.enter_async_context(server) for server in (found.rabbitmq, found.redis, found.store))
        )
        yield found
