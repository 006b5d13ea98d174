"""What runs between an aio-pika connection and its socket.

aio-pika keeps all that is difficult and rare: the handshake, heartbeats, channels, queues, recovery. What every job
needs passes it by: deliveries to consumers that are known here, confirms of channels that publish from here, and what
is written for both. The frames of others reach aio-pika untouched, and it does not notice the difference.

What is written within one turn of the event loop leaves in one system call, which the broker reads in one as well.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from messaging import codec

log = structlog.get_logger()

_TELL_ALIVE_S = 1.0
_GATHER_S = 0.001
_KINDS = frozenset({codec.METHOD, codec.HEADER, codec.BODY, codec.HEARTBEAT})


class OnMessage(Protocol):
    """Called with each message of a consumer."""

    def __call__(
        self, channel: "WireChannel", deliver: codec.Deliver, content: codec.Content, body: bytes
    ) -> None: ...


class OnConfirm(Protocol):
    """Hears what becomes of what was published on a channel."""

    def confirmed(self, tag: int, *, multiple: bool, taken: bool) -> None: ...

    def returned(self, message_id: str) -> None: ...


class WireChannel:
    """A channel from when it was opened until it is closed. Its number may be used again, by another one."""

    def __init__(self, wire: "Wire", number: int, *, is_open: bool = True) -> None:
        self.wire, self.number, self.is_open = wire, number, is_open
        self.on_confirm: OnConfirm | None = None
        self.on_closed: list[Callable[[], None]] = []
        self.arriving: _Arriving | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def ack(self, tag: int, multiple: bool) -> None:
        """Acknowledge a delivery, or all up to it. On a closed channel its tags mean nothing any more."""
        if self.is_open:
            self.wire.write(codec.ack(self.number, tag, multiple))
        else:
            log.info("ack_lost", tag=tag)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or the channel does: then the broker delivers again what it was about."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def closed(self) -> None:
        self.is_open = False
        for call in self.on_closed:
            call()
        for task in self._tasks:
            task.cancel()

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    async def idle(self) -> None:
        """Return when nothing runs any more."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery_left_unsettled", exc_info=error)


class _Arriving:
    """A message of which not all frames are here."""

    __slots__ = ("_body", "_content", "_done", "_missing")

    def __init__(self, done: Callable[[codec.Content, bytes], None]) -> None:
        self._done = done
        self._content: codec.Content | None = None
        self._body: list[bytes] = []
        self._missing = 0

    def add(self, kind: int, payload: bytes) -> bool:
        """Whether that was all of it."""
        if kind == codec.HEADER:
            self._content = codec.content(payload)
            self._missing = self._content.body_size
        else:
            self._body.append(payload)
            self._missing -= len(payload)
        if self._missing > 0 or self._content is None:
            return False
        self._done(self._content, b"".join(self._body))
        return True


class Wire(asyncio.StreamReaderProtocol):
    """One TCP connection. `consumers` are those whose messages go past aio-pika, by consumer tag."""

    def __init__(self, reader: asyncio.StreamReader, consumers: dict[str, OnMessage]) -> None:
        super().__init__(reader)
        self._consumers = consumers
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._channels: dict[int, WireChannel] = {}
        self._past: list[WireChannel] = []
        self._rest = b""
        self._readable = True
        self.told_alive_at = 0.0
        self._out: list[bytes] = []
        self._flushing: asyncio.Handle | None = None
        self._patient = False
        self.writable = asyncio.Event()
        self.writable.set()

    def channel(self, number: int) -> WireChannel:
        """The channel that has this number now; one that is closed when there is none."""
        return self._channels.get(number) or WireChannel(self, number, is_open=False)

    def write(self, data: bytes, *, patient: bool = False) -> None:
        """Send with whatever else is written in this turn of the loop; what is patient waits a moment longer."""
        self._out.append(data)
        if patient and self._flushing is None:
            self._flushing, self._patient = self._loop.call_later(_GATHER_S, self.flush), True
        elif not patient and (self._flushing is None or self._patient):
            self._forget_timer()
            self._flushing = self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send all that was written."""
        self._forget_timer()
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            if self._transport is not None:
                self._transport.write(data)

    def _forget_timer(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing, self._patient = None, False

    async def idle(self) -> None:
        """Return when nothing that a channel spawned runs any more."""
        for channel in (*self._channels.values(), *self._past):
            await channel.idle()
        self._past.clear()

    # What asyncio calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = transport  # type: ignore[assignment]  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for number in list(self._channels):
            self._close(number)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.writable.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, end, others = 0, len(data), []
        while end - at >= codec.OVERHEAD and self._readable:
            kind, number, size = codec.frame_start(data, at)
            behind = at + size + codec.OVERHEAD
            if kind not in _KINDS or (behind <= end and data[behind - 1] != codec.END):
                self._readable = False  # no AMQP: aio-pika knows what to say to that
                break
            if behind > end:
                break
            if not self._takes(kind, number, data[at + 7 : behind - 1]):
                others.append(data[at:behind])
            at = behind
        self._rest = data[at:]
        if not self._readable:
            others.append(self._rest)
            self._rest = b""
        self._pass_on(others)

    def _pass_on(self, others: list[bytes]) -> None:
        """aio-pika gives a connection up on which it hears nothing, and a busy broker sends no heartbeats."""
        now = self._loop.time()
        if not others and now - self.told_alive_at > _TELL_ALIVE_S:
            others = [codec.BEAT]
        if others:
            self.told_alive_at = now
            super().data_received(b"".join(others))

    def _takes(self, kind: int, number: int, payload: bytes) -> bool:
        channel = self._channels.get(number)
        if kind == codec.METHOD:
            return self._takes_method(number, channel, payload)
        if channel is None or channel.arriving is None or kind == codec.HEARTBEAT:
            return False
        if channel.arriving.add(kind, payload):
            channel.arriving = None
        return True

    def _takes_method(self, number: int, channel: WireChannel | None, payload: bytes) -> bool:
        method = payload[:4]
        if channel is None:
            if method == codec.CHANNEL_OPEN_OK:
                self._channels[number] = WireChannel(self, number)
            return False
        if method == codec.DELIVER:
            return self._takes_delivery(channel, codec.deliver(payload))
        if method in {codec.CHANNEL_CLOSE, codec.CHANNEL_CLOSE_OK}:
            self._close(number)
            return False
        if channel.on_confirm is None:
            return False
        return self._takes_confirm(channel, channel.on_confirm, method, payload)

    def _takes_delivery(self, channel: WireChannel, deliver: codec.Deliver) -> bool:
        consumer = self._consumers.get(deliver.consumer_tag)
        if consumer is None:
            return False
        channel.arriving = _Arriving(lambda content, body: consumer(channel, deliver, content, body))
        return True

    @staticmethod
    def _takes_confirm(channel: WireChannel, heard: OnConfirm, method: bytes, payload: bytes) -> bool:
        if method in {codec.ACK, codec.NACK}:
            tag, multiple = codec.confirm(payload)
            heard.confirmed(tag, multiple=multiple, taken=method == codec.ACK)
            return True
        if method == codec.RETURN:
            channel.arriving = _Arriving(lambda content, _body: heard.returned(content.message_id))
            return True
        return False

    def _close(self, number: int) -> None:
        channel = self._channels.pop(number)
        self._past = [past for past in self._past if past.busy] + [channel]
        channel.closed()
