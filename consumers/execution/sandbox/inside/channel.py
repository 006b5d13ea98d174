"""A socket of messages in an event loop."""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from . import wire


class Channel:
    """Receiving is a queue, so that several things can be waited for at once. After the other side is gone it gives
    None for ever."""

    def __init__(self, held: socket.socket, *, identify: bool = False) -> None:
        held.setblocking(False)
        if identify:
            wire.identify(held)
        self.gone = False
        """Whether the other side has been seen to leave."""
        self._socket = held
        self._inbox: asyncio.Queue[wire.Message | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(held.fileno(), self._readable)

    @classmethod
    def pair(cls, *, identify: bool = False) -> tuple[Self, socket.socket]:
        ours, theirs = wire.pair()
        return cls(ours, identify=identify), theirs

    def _readable(self) -> None:
        try:
            message = wire.receive(self._socket)
        except BlockingIOError:
            return
        if message is None:
            self.gone = True
            self._loop.remove_reader(self._socket.fileno())
        self._inbox.put_nowait(message)

    async def receive(self) -> wire.Message | None:
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
        return message

    async def send(self, body: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Silent when nobody is there any more: receiving tells."""
        while True:
            try:
                return wire.send(self._socket, body, descriptors)
            except BlockingIOError:
                await self._writable()
            except (BrokenPipeError, ConnectionResetError):
                return None

    async def _writable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self._socket.fileno(), _wake, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(self._socket.fileno())

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        with suppress(asyncio.QueueEmpty):
            while (message := self._inbox.get_nowait()) is not None:
                wire.close(message.descriptors)
        self._inbox.put_nowait(None)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def ended(pidfd: int) -> None:
    """Until the process behind it, and every process of a namespace that it is PID 1 of, is dead."""
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    watched = os.dup(pidfd)
    loop.add_reader(watched, _wake, gone)
    try:
        await gone
    finally:
        loop.remove_reader(watched)
        os.close(watched)
