"""Queues of services that listen: durable, and bounded in every way, so that a dead one holds nobody back.

Classic queues, and not quorum queues like all of ours: a publish is confirmed when every queue that it went to has
taken it, and a job must never wait for a subscriber's. A classic queue whose node is down is left out; a quorum queue
without its majority would keep the confirm from coming. What is in it survives a restart of the broker, not the loss
of its node's disk: the jobs themselves still tell.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote

import aio_pika
import httpx
from aio_pika.exceptions import ChannelNotFoundEntity
from yarl import URL

from messaging import names
from messaging.inspection import QueueCount, open_inspector
from messaging.settings import BrokerSettings
from messaging.topics import all_matching

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_DEADLINE_S = 10.0


class SubscriptionError(Exception):
    """It cannot be as asked, and why."""


@dataclass(frozen=True)
class Bounds:
    """Beyond each of them the oldest messages go. They count what no consumer holds."""

    length: int = 100_000
    size: int = 256 * 1024**2
    """Bytes of bodies."""
    age_s: int = 7 * 86_400

    def arguments(self) -> dict[str, Any]:
        return {
            "x-queue-type": "classic",
            "x-overflow": "drop-head",
            "x-max-length": self.length,
            "x-max-length-bytes": self.size,
            "x-message-ttl": self.age_s * 1000,
        }


@dataclass(frozen=True)
class Subscription:
    name: str
    topics: list[str]
    bounds: Bounds = field(default_factory=Bounds)
    ready: int = 0
    """Messages that nobody has taken."""
    consumers: int = 0

    @property
    def queue(self) -> str:
        return names.subscription(self.name)


class Subscriptions:
    """`url` is that of a user who may configure the broker; `management_url` that of its management API, if it has
    one, which alone can make users and list queues."""

    def __init__(self, url: str, management_url: str | None) -> None:
        self._url, self._management_url = URL(url), management_url

    async def create(self, name: str, topics: Sequence[str], bounds: Bounds) -> str | None:
        """Declare and bind the queue. Returns the URL of a user who may read it and nothing else, None without
        management API. Raises SubscriptionError, UnknownTopic."""
        all_matching(topics)
        if not topics:
            raise SubscriptionError("name a topic")
        if not _NAME.fullmatch(name):
            raise SubscriptionError(f"{name!r} is no name: up to 64 small letters, digits and hyphens between them")
        queue = names.subscription(name)
        async with await aio_pika.connect(str(self._url), timeout=_DEADLINE_S) as connection:
            if await _exists(connection, queue):
                raise SubscriptionError(f"{name!r} exists already; remove it, or choose another name")
            channel = await connection.channel()
            declared = await channel.declare_queue(queue, durable=True, arguments=bounds.arguments())
            for topic in topics:
                await declared.bind(names.EVENTS, topic)
        return await self._create_reader(queue) if self._management_url else None

    async def remove(self, name: str) -> None:
        """The queue with all that is in it, and its user. Raises SubscriptionError."""
        queue = names.subscription(name)
        async with await aio_pika.connect(str(self._url), timeout=_DEADLINE_S) as connection:
            if not await _exists(connection, queue):
                raise SubscriptionError(f"there is no subscription {name!r}")
            await (await connection.channel()).queue_delete(queue)
        if self._management_url:
            async with self._management() as api:
                await api.delete(f"users/{quote(queue)}")

    async def all(self) -> list[Subscription]:
        """Raises SubscriptionError without management API."""
        async with self._management() as api:
            queues = await self._get(api, f"queues/{self._vhost}")
            bindings = await self._get(api, f"exchanges/{self._vhost}/{names.EVENTS}/bindings/source")
        topics: dict[str, list[str]] = {}
        for binding in bindings:
            topics.setdefault(binding["destination"], []).append(binding["routing_key"])
        ours = {queue["name"]: queue for queue in queues if queue["name"].startswith(names.SUBSCRIPTIONS)}
        async with open_inspector(BrokerSettings.model_validate({"RABBITMQ_URL": str(self._url)}), "ls") as inspector:
            counts = await inspector.count(ours)  # the management API's are some seconds old
        return [_subscription(ours[name], sorted(topics.get(name, [])), count) for name, count in counts.items()]

    async def _create_reader(self, queue: str) -> str:
        password = token_urlsafe(24)
        rights = {"configure": "^$", "write": "^$", "read": f"^{re.escape(queue)}$"}
        async with self._management() as api:
            user = await api.put(f"users/{quote(queue)}", json={"password": password, "tags": ""})
            granted = await api.put(f"permissions/{self._vhost}/{quote(queue)}", json=rights)
        for response in (user, granted):
            if response.is_error:
                raise SubscriptionError(f"the queue has no user: {response.status_code} {response.text}")
        # With a slash and nothing behind it, the standard says, the virtual host would be the one without a name.
        return str(self._url.with_user(queue).with_password(password)).removesuffix("/")

    @staticmethod
    async def _get(api: httpx.AsyncClient, path: str) -> Any:
        response = await api.get(path)
        if response.is_error:
            raise SubscriptionError(f"the management API answers {response.status_code}: {response.text}")
        return response.json()

    def _management(self) -> httpx.AsyncClient:
        if self._management_url is None:
            raise SubscriptionError("only the broker's management API can tell: set RABBITMQ_MANAGEMENT_URL")
        return httpx.AsyncClient(
            base_url=f"{self._management_url.rstrip('/')}/api/",
            auth=(self._url.user or "guest", self._url.password or "guest"),
            timeout=_DEADLINE_S,
            trust_env=False,
        )

    @property
    def _vhost(self) -> str:
        """As a path segment."""
        return quote(self._url.path.removeprefix("/") or "/", safe="")


async def _exists(connection: aio_pika.abc.AbstractConnection, queue: str) -> bool:
    with suppress(ChannelNotFoundEntity):
        async with connection.channel() as channel:
            await channel.declare_queue(queue, passive=True)
            return True
    return False


def _subscription(queue: dict[str, Any], topics: list[str], count: QueueCount) -> Subscription:
    given = queue.get("arguments", {})
    bounds = Bounds(
        length=given.get("x-max-length", 0),
        size=given.get("x-max-length-bytes", 0),
        age_s=given.get("x-message-ttl", 0) // 1000,
    )
    name = queue["name"].removeprefix(names.SUBSCRIPTIONS)
    return Subscription(name, topics, bounds, count.ready, count.consumers)
