"""Deliveries taken and not yet settled, acknowledged in runs: one frame settles all of a channel up to a tag."""

import asyncio
from collections import deque

from messaging.consumer import Delivery


class Backlog:
    def __init__(self) -> None:
        self._taken: deque[Delivery] = deque()
        self._done: set[Delivery] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._taken)

    def add(self, delivery: Delivery) -> None:
        self._taken.append(delivery)
        self._empty.clear()

    async def settle(self, deliveries: list[Delivery]) -> None:
        """Acknowledge these as soon as everything taken before them is settled too."""
        self._done.update(deliveries)
        last_of_channel: dict[int, Delivery] = {}
        while self._taken and self._taken[0] in self._done:
            delivery = self._taken.popleft()
            self._done.remove(delivery)
            last_of_channel[delivery.channel] = delivery
        for delivery in last_of_channel.values():
            await delivery.ack(and_all_before=True)
        if not self._taken:
            self._empty.set()

    async def empty(self) -> None:
        await self._empty.wait()
