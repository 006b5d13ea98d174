"""The proxy loses what it is told to lose, and nothing beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
import pytest

from tests.faults.proxy import AmqpProxy, Direction, Frames, is_ack
from tests.support.servers import Servers
from tests.support.waiting import eventually

ACK = bytes.fromhex("01 0001 0000000d 003c 0050 0000000000000007 00 ce")
NACK = bytes.fromhex("01 0001 0000000d 003c 0078 0000000000000007 00 ce")
HEARTBEAT = bytes.fromhex("08 0000 00000000 ce")
BODY_LIKE_AN_ACK = bytes.fromhex("03 0001 00000004 003c 0050 ce")


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_frames_are_cut_wherever_the_chunks_end(size: int) -> None:
    frames = [b"AMQP\0\0\x09\x01", ACK, HEARTBEAT, NACK, BODY_LIKE_AN_ACK]
    stream, cutter = b"".join(frames), Frames()
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [frame for chunk in chunks for frame in cutter.cut(chunk)] == frames


def test_only_an_acknowledgement_is_one() -> None:
    assert [is_ack(frame) for frame in (ACK, NACK, HEARTBEAT, BODY_LIKE_AN_ACK)] == [True, False, False, False]


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[AmqpProxy]:
    async with AmqpProxy(servers.rabbitmq.port) as proxy:
        yield proxy


@pytest.fixture
async def publish(proxy: AmqpProxy, bare_broker_url: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Publishes to a queue of its own through the proxy, and waits for the confirm."""
    vhost = bare_broker_url.rpartition("/")[2]
    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{proxy.port}/{vhost}")
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue("proxied")

        async def publish() -> None:
            async with asyncio.timeout(0.5):
                await channel.default_exchange.publish(aio_pika.Message(b""), routing_key=queue.name)

        yield publish


async def test_one_confirm_is_lost(proxy: AmqpProxy, publish: Callable[[], Awaitable[None]]) -> None:
    await publish()
    proxy.lose_acks(Direction.TO_CLIENT)
    with pytest.raises(TimeoutError):
        await publish()
    await publish()
    assert proxy.lost == 1


async def test_an_ack_of_a_consumer_is_another_direction(
    proxy: AmqpProxy, publish: Callable[[], Awaitable[None]]
) -> None:
    proxy.lose_acks(Direction.TO_SERVER)
    await publish()
    assert proxy.lost == 0


async def test_a_reset_ends_connections_and_takes_new_ones(proxy: AmqpProxy, bare_broker_url: str) -> None:
    vhost = bare_broker_url.rpartition("/")[2]
    url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/{vhost}"
    await aio_pika.connect(url)
    assert proxy.cut() == 1

    async def closed() -> bool:
        return not proxy.connections

    await eventually(closed)
    await (await aio_pika.connect(url)).close()


async def test_silence_is_not_an_end(proxy: AmqpProxy, publish: Callable[[], Awaitable[None]]) -> None:
    assert proxy.go_silent(publishing_only=True) == 1
    with pytest.raises(TimeoutError):
        await publish()
    assert proxy.connections == 1
    proxy.cut()  # or closing it would wait a minute for an answer
