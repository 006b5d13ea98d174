"""Whether a server really works: the smallest real use of each. A probe raises when it does not. The libraries are
imported when one is asked, since most commands ask none and the libraries are a third of what a command takes.

Its own connections rather than those of `messaging` and `storage`, which need what is only set up after the probe.
"""

import ssl
from typing import Any

import httpx

TIMEOUT_S = 5.0


async def amqp(url: str) -> None:
    """Log in to RabbitMQ."""
    import aio_pika

    connection = await aio_pika.connect(url, timeout=TIMEOUT_S)
    await connection.close()


async def redis(url: str) -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
        await client.ping()


async def mongodb(url: str) -> None:
    """A real read: a hung embedded store still accepts connections."""
    from pymongo import AsyncMongoClient

    timeout_ms = int(TIMEOUT_S * 1000)
    async with AsyncMongoClient[dict[str, Any]](
        url, serverSelectionTimeoutMS=timeout_ms, timeoutMS=timeout_ms
    ) as client:
        await client.get_default_database("millrace")["jobs"].find_one({"_id": ""})


async def http(url: str) -> None:
    """GET must answer 2xx."""
    # An empty context, since loading the certificates for each plain-text probe takes longer than the probe.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False) as client:
        (await client.get(url)).raise_for_status()
