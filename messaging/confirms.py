"""What becomes of published messages: confirms, returns, and the time after which nobody waits for them."""

import asyncio
from enum import Enum, auto
from typing import Any
from uuid import uuid4

from messaging import codec
from messaging.wire import WireChannel


class Fate(Enum):
    TAKEN = auto()
    """On disk in every queue that it was routed to."""
    REFUSED = auto()
    """By a queue that is full."""
    RETURNED = auto()
    """No queue is bound for it."""
    OVERDUE = auto()
    """The broker has not said anything in time. It may have it."""
    LOST = auto()
    """The channel ended before the broker said anything. It may have it."""


class Confirms:
    """Publishes on one channel, which confirms. A confirm names a message by its number on the channel, a return by
    its message id: so that number is part of the id, which makes every transmission's id its own as well."""

    def __init__(self, channel: WireChannel, frame_max: int, deadline_s: float) -> None:
        self.channel, self._frame_max, self._deadline_s = channel, frame_max, deadline_s
        self._loop = asyncio.get_running_loop()
        self._name, self._number = uuid4().hex, 0
        self._waiting: dict[int, tuple[asyncio.Future[Fate], float]] = {}  # in order of number, so of falling due
        self._timer: asyncio.TimerHandle | None = None
        channel.on_confirm = self
        channel.on_closed.append(self._lost)

    def publish(self, exchange: str, routing_key: str, headers: dict[str, Any], body: bytes) -> asyncio.Future[Fate]:
        """Send a message. Raises ValueError or TypeError when AMQP cannot say it, and then nothing was sent."""
        number = self._number + 1
        message_id = f"{self._name}-{number}"
        frames = codec.publish(self.channel.number, exchange, routing_key, headers, message_id, body, self._frame_max)
        self._number = number
        # Nagle's algorithm: while the broker has yet to confirm what it has, more need not come in single pieces.
        self.channel.wire.write(frames, patient=bool(self._waiting))
        future: asyncio.Future[Fate] = self._loop.create_future()
        due_at = self._loop.time() + self._deadline_s
        self._waiting[number] = future, due_at
        if self._timer is None:
            self._timer = self._loop.call_at(due_at, self._expire)
        return future

    def confirmed(self, tag: int, *, multiple: bool, taken: bool) -> None:
        self.channel.wire.flush()
        fate = Fate.TAKEN if taken else Fate.REFUSED
        if not multiple:
            self._settle(tag, fate)
            return
        while self._waiting and (first := next(iter(self._waiting))) <= tag:
            self._settle(first, fate)

    def returned(self, message_id: str) -> None:
        """Comes before the confirm of the same message, which then finds nobody waiting."""
        name, _, number = message_id.rpartition("-")
        if name == self._name:
            self._settle(int(number), Fate.RETURNED)

    def _settle(self, number: int, fate: Fate) -> None:
        future, _ = self._waiting.pop(number, (None, 0))
        if future is not None and not future.done():
            future.set_result(fate)

    def _expire(self) -> None:
        self._timer = None
        while self._waiting:
            number, (_, due_at) = next(iter(self._waiting.items()))
            if due_at > self._loop.time():
                self._timer = self._loop.call_at(due_at, self._expire)
                return
            self._settle(number, Fate.OVERDUE)

    def _lost(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for number in list(self._waiting):
            self._settle(number, Fate.LOST)
