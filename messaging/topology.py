"""What exists on the broker. `apply` declares it; everybody else only checks it.

All queues are quorum queues with identical arguments on RabbitMQ 3.10 to 4.x. Declaring with other arguments than
a queue has closes the channel (406), and a worker that declares would do so in a loop: so workers never declare.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection, ExchangeType
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError, ChannelClosed, ChannelPreconditionFailed

from messaging import names
from messaging.publisher import BrokerUnavailable
from schemas.kinds import kinds
from schemas.lifecycle import JobCancelled
from schemas.notifications import USUAL_TOPICS
from schemas.topics import ending

# A quorum queue sends a message to its dead-letter exchange when it was returned more often than this: it keeps
# killing its worker. A crash or a lost connection returns innocent bystanders too, once each (see consumer.py).
WORK_DELIVERY_LIMIT = 6
# The ledger and the dead-letters consumer must not lose a message to their own crash loop; 3.10 misreads -1.
UNLIMITED_DELIVERIES = 1_000_000

_DEAD_LETTERING = {
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # at-least-once demands it
}


@dataclass(frozen=True)
class Exchange:
    name: str
    type: ExchangeType


@dataclass(frozen=True)
class Queue:
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Binding:
    queue: str
    exchange: str
    key: str


@dataclass(frozen=True)
class Relay:
    """From one exchange to another."""

    target: str
    source: str
    key: str


@dataclass(frozen=True)
class Topology:
    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    relays: tuple[Relay, ...]


def topology(kind_names: Iterable[str]) -> Topology:
    """The whole topology for these job kinds."""
    kind_names = sorted(kind_names)
    tiers = [names.retry_tier(delay_s) for delay_s in names.RETRY_TIERS_S]
    return Topology(
        exchanges=(
            Exchange(names.COMMANDS, ExchangeType.TOPIC),
            Exchange(names.EVENTS, ExchangeType.TOPIC),
            Exchange(names.DEAD, ExchangeType.FANOUT),
            Exchange(names.CONTROL, ExchangeType.FANOUT),
            *(Exchange(tier, ExchangeType.FANOUT) for tier in tiers),
        ),
        queues=(
            Queue(names.LEDGER, _quorum(UNLIMITED_DELIVERIES)),
            Queue(names.DEAD, _quorum(UNLIMITED_DELIVERIES)),
            Queue(names.NOTIFICATIONS, _quorum(UNLIMITED_DELIVERIES)),
            *(_work_queue(kind) for kind in kind_names),
            *(_retry_queue(delay_s) for delay_s in names.RETRY_TIERS_S),
        ),
        bindings=(
            Binding(names.LEDGER, names.COMMANDS, "#"),
            Binding(names.LEDGER, names.EVENTS, "#"),
            Binding(names.DEAD, names.DEAD, ""),
            *(Binding(names.NOTIFICATIONS, names.EVENTS, key) for topic in USUAL_TOPICS for key in ending(topic)),
            *(Binding(names.work_queue(kind), names.COMMANDS, kind) for kind in kind_names),
            *(Binding(tier, tier, "") for tier in tiers),
        ),
        # One confirmed publish tells the ledger, every subscriber, and every process that may be running the job.
        relays=(Relay(names.CONTROL, names.EVENTS, names.event_key("#", JobCancelled.fact)),),
    )


def _quorum(delivery_limit: int) -> dict[str, Any]:
    return {"x-queue-type": "quorum", "x-delivery-limit": delivery_limit}


def _work_queue(kind: str) -> Queue:
    return Queue(
        names.work_queue(kind),
        _quorum(WORK_DELIVERY_LIMIT) | _DEAD_LETTERING | {"x-dead-letter-exchange": names.DEAD},
    )


def _retry_queue(delay_s: int) -> Queue:
    """One TTL per queue, since expiry happens at its head only. A message keeps its routing key, the name of its
    work queue, so the default exchange returns it to exactly that queue."""
    return Queue(
        names.retry_tier(delay_s),
        _quorum(UNLIMITED_DELIVERIES)
        | _DEAD_LETTERING
        | {"x-message-ttl": delay_s * 1000, "x-dead-letter-exchange": names.DEFAULT_EXCHANGE},
    )


class TopologyDrift(Exception):
    """The broker does not hold what this code expects. The message lists every difference and the remedy."""


async def apply(url: str) -> None:
    """Declare everything. Idempotent. Raises TopologyDrift when an object exists with other arguments."""
    wanted = topology(kinds())
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        try:
            for exchange in wanted.exchanges:
                await channel.declare_exchange(exchange.name, exchange.type, durable=True)
            for queue in wanted.queues:
                await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
        except ChannelPreconditionFailed as error:
            raise TopologyDrift(f"{error}; drain and delete the object, then apply again") from error
        for binding in wanted.bindings:
            bound = await channel.get_queue(binding.queue, ensure=False)
            await bound.bind(binding.exchange, binding.key)
        for relay in wanted.relays:
            target = await channel.get_exchange(relay.target, ensure=False)
            await target.bind(relay.source, relay.key)


async def check(url: str) -> list[str]:
    """One line per object that is missing or has other arguments; empty when all is well. Changes nothing.

    Raises BrokerUnavailable."""
    wanted = topology(kinds())
    try:
        connection = await aio_pika.connect(url)
    except CONNECTION_EXCEPTIONS as error:
        raise BrokerUnavailable(f"cannot connect to the broker: {error}") from error
    async with connection:
        found = [await _check_exchange(connection, exchange) for exchange in wanted.exchanges]
        found += [await _check_queue(connection, queue) for queue in wanted.queues]
    return [line for line in found if line]


async def require(url: str) -> None:
    """What every process does before it starts. Raises TopologyDrift, BrokerUnavailable."""
    drift = await check(url)
    if drift:
        raise TopologyDrift("; ".join(drift) + " (run `millrace topology apply`)")


async def _check_exchange(connection: AbstractConnection, exchange: Exchange) -> str | None:
    async with connection.channel() as channel:
        try:
            await channel.declare_exchange(exchange.name, exchange.type, durable=True, passive=True)
        except (ChannelClosed, AMQPError) as error:
            return f"exchange {exchange.name}: {error}"
    return None


async def _check_queue(connection: AbstractConnection, queue: Queue) -> str | None:
    """A passive declare only proves existence; declaring what exists with equal arguments changes nothing, so once
    existence is proven an active declare is a harmless comparison of arguments."""
    async with connection.channel() as channel:
        try:
            await channel.declare_queue(queue.name, passive=True)
            await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
        except (ChannelClosed, AMQPError) as error:
            return f"queue {queue.name}: {error}"
    return None
