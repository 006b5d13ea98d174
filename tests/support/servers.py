"""The real servers that tests run against."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    rabbitmq = RabbitMQ(folder / "rabbitmq", management=True)
    found = Servers(rabbitmq, Redis(folder / "redis"), Store(folder / "store"))
    opened = (found.rabbitmq, found.redis, found.store)
    try:
        await asyncio.gather(*(server.start() for server in opened))
        yield found
    finally:  # what they hold is thrown away, and RabbitMQ alone takes eight seconds to put it in order first
        await asyncio.gather(*(server.kill() for server in opened))
