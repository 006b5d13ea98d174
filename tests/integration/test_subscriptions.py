"""Queues for those who listen on AMQP: who may read them, what bounds them, and that dead ones hold back nobody."""

import asyncio
import json
from contextlib import AsyncExitStack, aclosing

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError, ChannelClosed

from gateway import topics
from messaging import names, topology
from messaging.message import OutgoingMessage
from messaging.publisher import open_publisher
from messaging.subscriptions import Bounds, SubscriptionError, Subscriptions
from messaging.topics import UnknownTopic
from tests.conftest import Deployment
from tests.support.jobs import all_succeeded, submit
from tests.support.processes import running
from tests.support.served import served_gateway
from tests.support.servers import Servers
from tests.support.told import say, socket, topic_events
from tests.support.waiting import eventually

SUCCEEDED = "system.probe.succeeded"


@pytest.fixture
def subscriptions(deployment: Deployment, servers: Servers) -> Subscriptions:
    return Subscriptions(deployment.broker.url, servers.rabbitmq.management_url)


async def test_a_subscriber_may_read_its_queue_and_nothing_else(
    subscriptions: Subscriptions, deployment: Deployment
) -> None:
    url = await subscriptions.create("probes", ["system.probe.*", "model.train.#"], Bounds())
    assert url is not None
    assert await topology.check(deployment.broker.url) == []
    async with open_publisher(deployment.broker, "test") as publisher:
        for key in (SUCCEEDED, "text.embed.succeeded", "model.train.succeeded"):
            await publisher.publish(OutgoingMessage({}, key.encode()), exchange=names.EVENTS, routing_key=key)
    async with await aio_pika.connect(url) as reader:
        queue = await (await reader.channel()).get_queue("mr.sub.probes")
        for key in (SUCCEEDED, "model.train.succeeded"):
            message = await queue.get(timeout=5)
            assert message.body == key.encode()
            await message.ack()
        channel = await reader.channel()
        with pytest.raises(ChannelClosed, match="ACCESS_REFUSED"):
            await (await channel.get_queue(names.LEDGER, ensure=False)).get(timeout=5)
        channel = await reader.channel()
        with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
            await (await channel.get_exchange(names.EVENTS, ensure=False)).publish(aio_pika.Message(b""), SUCCEEDED)
        with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
            await (await reader.channel()).declare_queue("mine")
    [listed] = await subscriptions.all()
    assert (listed.name, listed.topics, listed.bounds) == ("probes", ["model.train.#", "system.probe.*"], Bounds())
    await subscriptions.remove("probes")
    assert await subscriptions.all() == []
    with pytest.raises(AMQPError):
        await aio_pika.connect(url)


async def test_what_cannot_be_subscribed_is_refused(subscriptions: Subscriptions, deployment: Deployment) -> None:
    with pytest.raises(UnknownTopic, match=r"model\.trian"):
        await subscriptions.create("a", ["model.trian.*"], Bounds())
    with pytest.raises(SubscriptionError, match="is no name"):
        await subscriptions.create("A b", [SUCCEEDED], Bounds())
    with pytest.raises(SubscriptionError, match="there is no"):
        await subscriptions.remove("a")
    without = Subscriptions(deployment.broker.url, None)
    assert await without.create("a", [SUCCEEDED], Bounds()) is None
    with pytest.raises(SubscriptionError, match="already"):
        await subscriptions.create("a", [SUCCEEDED], Bounds())
    with pytest.raises(SubscriptionError, match="RABBITMQ_MANAGEMENT_URL"):
        await without.all()


async def test_the_oldest_go_first(subscriptions: Subscriptions, deployment: Deployment) -> None:
    await subscriptions.create("short", [SUCCEEDED], Bounds(length=2))
    await subscriptions.create("small", [SUCCEEDED], Bounds(size=3))
    await subscriptions.create("young", [SUCCEEDED], Bounds(age_s=1))
    async with open_publisher(deployment.broker, "test") as publisher:
        for body in (b"1", b"2", b"3", b"4"):
            await publisher.publish(OutgoingMessage({}, body), exchange=names.EVENTS, routing_key=SUCCEEDED)
    async with await aio_pika.connect(deployment.broker.url) as connection:
        channel = await connection.channel()
        for name, kept in (("short", [b"3", b"4"]), ("small", [b"2", b"3", b"4"])):
            queue = await channel.get_queue(names.subscription(name))
            assert [(await queue.get(no_ack=True)).body for _ in kept] == kept
            assert await queue.get(fail=False) is None

        async def forgotten() -> bool:
            queue = await channel.declare_queue(names.subscription("young"), passive=True)
            return queue.declaration_result.message_count == 0

        await eventually(forgotten)


async def test_subscribers_that_stop_reading_hold_nobody_back(
    subscriptions: Subscriptions, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of each: a queue that nobody reads, one whose reader acknowledges nothing, and two over HTTP that leave
    what they are sent where it is."""
    monkeypatch.setattr(topics, "BUFFER", 20)
    await subscriptions.create("dead", ["#"], Bounds(length=10))
    await subscriptions.create("stuck", ["#"], Bounds(length=10))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running("ledger", "diagnostics"))
        client = await stack.enter_async_context(served_gateway())
        connection = await stack.enter_async_context(await aio_pika.connect(deployment.broker.url))
        stuck = await (await connection.channel()).get_queue(names.subscription("stuck"))
        await stuck.consume(_never_acknowledged)
        stream = await stack.enter_async_context(aclosing(topic_events(client, "#")))  # type: ignore[type-var]
        assert (await anext(stream)).type == "subscribed"
        ws = await stack.enter_async_context(socket(client, "/v1/ws"))
        await say(ws, action="subscribe", topic="#")
        assert json.loads(await ws.recv())["type"] == "subscribed"
        accepted = await submit(
            client, "system.probe", 150, lambda number: {"payload": {"x": "x" * 15_000, "n": number}}
        )
        assert len(accepted) == 150
        async with asyncio.timeout(60):
            await all_succeeded(client, accepted)
            heard: set[str] = set()
            async for event in stream:  # and now it reads: nothing was lost, since the log still has it
                assert event.type != "gap"
                if event.data["topic"] == SUCCEEDED:
                    heard.add(event.data["job"])
                if len(heard) == len(accepted):
                    break
    [dead, stuck_too] = sorted(await subscriptions.all(), key=lambda one: one.name)
    assert max(dead.ready, stuck_too.ready) <= 10
    assert heard == set(accepted)


async def _never_acknowledged(_message: aio_pika.abc.AbstractIncomingMessage) -> None:
    pass
