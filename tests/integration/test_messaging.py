"""Topology, publishing and consuming on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import aio_pika
import pytest
from pamqp.common import FieldTable

from messaging import names, topology
from messaging.consumer import open_consumer
from messaging.delivery import Delivery
from messaging.message import OutgoingMessage
from messaging.publisher import BrokerUnavailable, Unroutable, open_publisher
from messaging.settings import BrokerSettings
from messaging.topology import TopologyDrift
from millrace.stack.ports import free_port
from tests.conftest import Deployment
from tests.support.servers import Servers
from tests.support.waiting import eventually

PROBES = names.work_queue("system.probe")


@asynccontextmanager
async def raw_channel(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(url)
    async with connection:
        yield await connection.channel()


async def test_check_names_what_is_missing_and_apply_mends_it(bare_broker_url: str) -> None:
    missing = await topology.check(bare_broker_url)
    assert any(line.startswith("queue mr.ledger") for line in missing)
    assert any(line.startswith("exchange mr.commands") for line in missing)
    await topology.apply(bare_broker_url)
    await topology.apply(bare_broker_url)
    assert await topology.check(bare_broker_url) == []


async def test_drifted_arguments_are_one_clear_error(bare_broker_url: str) -> None:
    async with raw_channel(bare_broker_url) as channel:
        await channel.declare_queue(PROBES, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 3})
    with pytest.raises(TopologyDrift, match="inequivalent arg"):
        await topology.apply(bare_broker_url)
    drift = await topology.check(bare_broker_url)
    assert [line for line in drift if PROBES in line and "inequivalent arg" in line]
    with pytest.raises(TopologyDrift, match="millrace topology apply"):
        await topology.require(bare_broker_url)


async def test_a_publish_is_persistent_and_reaches_work_queue_and_ledger(deployment: Deployment) -> None:
    async with open_publisher(deployment.broker, "test") as publisher:
        message = OutgoingMessage({"mr-job-id": "j"}, b"{}")
        await publisher.publish(message, exchange=names.COMMANDS, routing_key="system.probe")
    async with raw_channel(deployment.broker.url) as channel:
        for queue in (PROBES, names.LEDGER):
            found = await (await channel.get_queue(queue)).get(timeout=5)
            assert found is not None
            assert (found.body, found.delivery_mode, found.content_type) == (b"{}", 2, "application/json")
            assert found.headers["mr-job-id"] == "j"
            await found.ack()


async def test_an_unroutable_publish_raises(deployment: Deployment) -> None:
    async with open_publisher(deployment.broker, "test") as publisher:
        with pytest.raises(Unroutable, match="no-such-queue"):
            await publisher.publish(OutgoingMessage({}, b"{}"), exchange="", routing_key="no-such-queue")


async def test_many_publishes_at_once_fail_and_succeed_on_their_own(deployment: Deployment) -> None:
    async with open_publisher(deployment.broker, "test") as publisher:
        keys = [PROBES if number % 3 else f"nowhere-{number}" for number in range(300)]
        sent = await asyncio.gather(
            *(publisher.publish(OutgoingMessage({}, b"{}"), exchange="", routing_key=key) for key in keys),
            return_exceptions=True,
        )
    assert [isinstance(result, Unroutable) for result in sent] == [key != PROBES for key in keys]


async def test_a_full_queue_refuses_and_the_publisher_says_so(deployment: Deployment) -> None:
    name = f"full-{uuid4().hex[:8]}"
    arguments: FieldTable = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
    async with raw_channel(deployment.broker.url) as channel, open_publisher(deployment.broker, "test") as publisher:
        await channel.declare_queue(name, durable=True, arguments=arguments)

        async def refused() -> bool:
            try:
                await publisher.publish(OutgoingMessage({}, b"{}"), exchange="", routing_key=name)
            except BrokerUnavailable as error:
                return "full" in str(error)
            return False

        assert await eventually(refused, within_s=5)


async def test_no_broker_is_said_at_once() -> None:
    nobody = BrokerSettings.model_validate({"RABBITMQ_URL": f"amqp://127.0.0.1:{free_port()}/"})
    with pytest.raises(BrokerUnavailable, match="cannot connect"):
        async with open_publisher(nobody, "test"):
            pass


async def test_a_silent_broker_fails_the_publish_at_its_deadline(servers: Servers, deployment: Deployment) -> None:
    """A half-open connection: bytes go out and nothing ever comes back."""
    async with _mute_proxy(servers.rabbitmq.port) as (port, mute):
        url = deployment.broker.url.replace(f":{servers.rabbitmq.port}/", f":{port}/")
        settings = deployment.broker.model_copy(update={"url": url, "publish_deadline_s": 0.5})
        async with open_publisher(settings, "test") as publisher:
            await publisher.publish(OutgoingMessage({}, b"{}"), exchange="", routing_key=PROBES)
            mute.set()
            with pytest.raises(BrokerUnavailable, match=r"within 0\.5 s"):
                await publisher.publish(OutgoingMessage({}, b"{}"), exchange="", routing_key=PROBES)
            mute.clear()


@asynccontextmanager
async def _mute_proxy(target: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A TCP proxy that swallows the broker's answers while its event is set."""
    mute = asyncio.Event()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, silenced: bool) -> None:
        while data := await source.read(65536):
            if not (silenced and mute.is_set()):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", target)
        pumps.add(asyncio.create_task(pump(reader, up_writer, False)))
        pumps.add(asyncio.create_task(pump(up_reader, writer, True)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], mute
    finally:
        server.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _publish(deployment: Deployment, count: int) -> None:
    async with open_publisher(deployment.broker, "test") as publisher:
        for number in range(count):
            message = OutgoingMessage({}, str(number).encode())
            await publisher.publish(message, exchange="", routing_key=PROBES)


async def test_no_more_than_the_prefetch_is_taken(deployment: Deployment) -> None:
    await _publish(deployment, 30)
    held: list[Delivery] = []

    async def hold(delivery: Delivery) -> None:
        held.append(delivery)

    async with open_consumer(deployment.broker, "test") as consumer:
        await consumer.subscribe(PROBES, 10, hold)

        # One more than the prefetch: the first message was taken alone, by a consumer that ended with it.
        async def eleven_held() -> bool:
            return len(held) >= 11

        await eventually(eleven_held)
        held[1].ack()

        async def twelve_held() -> bool:
            return len(held) >= 12

        await eventually(twelve_held)
        assert len(held) == 12
        await consumer.stop_taking()


async def test_redelivered_messages_are_taken_one_by_one_until_a_fresh_one_comes(deployment: Deployment) -> None:
    await _publish(deployment, 12)
    unsettled: list[Delivery] = []

    async def hold(delivery: Delivery) -> None:
        unsettled.append(delivery)

    async with open_consumer(deployment.broker, "crashing") as consumer:
        await consumer.subscribe(PROBES, 5, hold)

        async def six_held() -> bool:
            return len(unsettled) >= 6  # the first one, and then a full prefetch

        await eventually(six_held)
        await consumer.stop_taking()

    async with raw_channel(deployment.broker.url) as channel:

        async def all_returned() -> bool:
            return (await channel.declare_queue(PROBES, passive=True)).declaration_result.message_count == 12

        await eventually(all_returned)

    at_a_time, held, order = [], set[Delivery](), []

    async def take(delivery: Delivery) -> None:
        held.add(delivery)
        order.append((delivery.body, delivery.delivered_before))
        at_a_time.append(len(held))
        await asyncio.sleep(0)
        held.discard(delivery)
        delivery.ack()

    async with open_consumer(deployment.broker, "careful") as consumer:
        await consumer.subscribe(PROBES, 5, take, careful=True)

        async def all_taken() -> bool:
            return len(order) == 12

        await eventually(all_taken)
        await _publish(deployment, 5)

        async def all_later_ones_taken() -> bool:
            return len(order) == 17

        await eventually(all_later_ones_taken)
        await consumer.stop_taking()
    again = sum(delivered_before for _, delivered_before in order)
    assert again >= len(unsettled) >= 6
    assert [delivered_before for _, delivered_before in order] == [True] * again + [False] * (17 - again)
    assert at_a_time[:again] == [1] * again
    assert {body for body, _ in order[:12]} == {str(number).encode() for number in range(12)}


async def test_a_subscription_that_the_broker_forgot_is_noticed(deployment: Deployment) -> None:
    async def settle(delivery: Delivery) -> None:
        delivery.ack()

    async with open_consumer(deployment.broker, "test") as consumer:
        await consumer.subscribe(PROBES, 5, settle)
        assert consumer.dead_subscriptions() == []
        async with raw_channel(deployment.broker.url) as channel:
            await channel.queue_delete(PROBES)

        async def noticed() -> bool:
            return consumer.dead_subscriptions() == [PROBES]

        await eventually(noticed)


async def test_a_delay_tier_returns_a_message_to_exactly_its_queue(deployment: Deployment) -> None:
    async with open_publisher(deployment.broker, "test") as publisher:
        tier = names.retry_tier(1)
        await publisher.publish(OutgoingMessage({"mr-attempt": 2}, b"{}"), exchange=tier, routing_key=PROBES)
    async with raw_channel(deployment.broker.url) as channel:
        queue = await channel.get_queue(PROBES)

        async def returned() -> aio_pika.abc.AbstractIncomingMessage | None:
            return await queue.get(fail=False)

        found = await eventually(returned, within_s=5)
        assert found is not None
        assert found.headers["mr-attempt"] == 2
        await found.ack()
        ledger = await (await channel.get_queue(names.LEDGER)).get(fail=False)
        assert ledger is None
