"""A TCP proxy in front of a server, where bytes get lost on purpose.

It understands just enough of AMQP 0-9-1 to lose one acknowledgement and nothing beside it: everything after the
protocol header is frames (type, channel, size, payload, end), and a method frame names its method in its first four
bytes of payload. The same method is the broker's confirm in one direction and the consumer's ack in the other.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

_HEADER = b"AMQP"
_FRAME = struct.Struct(">BHI")
_METHOD_FRAME = 1
_BASIC_ACK, _CONFIRM_SELECT = struct.pack(">HH", 60, 80), struct.pack(">HH", 85, 10)
_CHUNK = 64 * 1024


class Direction(Enum):
    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class Frames:
    """Cuts one direction of an AMQP connection into its frames."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, chunk: bytes) -> Iterator[bytes]:
        """The frames that are complete now; the protocol header counts as one."""
        self._rest += chunk
        while size := self._next_size():
            frame, self._rest = self._rest[:size], self._rest[size:]
            yield frame

    def _next_size(self) -> int:
        """Of the frame that the rest starts with; 0 when it is not complete."""
        size = 8
        if len(self._rest) >= size and not self._rest.startswith(_HEADER):
            _, _, payload = _FRAME.unpack_from(self._rest)
            size = _FRAME.size + payload + 1
        return size if len(self._rest) >= size else 0


def is_ack(frame: bytes) -> bool:
    return _method(frame) == _BASIC_ACK


def _method(frame: bytes) -> bytes:
    """Class and method; empty for what is no method frame."""
    return frame[_FRAME.size : _FRAME.size + 4] if frame[0] == _METHOD_FRAME else b""


class _Link:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._writers = {Direction.TO_CLIENT: client, Direction.TO_SERVER: server}
        self.silent = False
        self.publishes = False
        """Whether the client wants confirms: consumers do not."""

    async def pump(self, reader: asyncio.StreamReader, direction: Direction, lost: Callable[[bytes], bool]) -> None:
        frames, writer = Frames(), self._writers[direction]
        while chunk := await reader.read(_CHUNK):
            if self.silent:
                continue
            for frame in frames.cut(chunk):
                self.publishes |= _method(frame) == _CONFIRM_SELECT
                if not lost(frame):
                    writer.write(frame)
            await writer.drain()

    def abort(self) -> None:
        """Reset both ends, like a machine that forgot the connection."""
        for writer in self._writers.values():
            writer.transport.abort()


class AmqpProxy:
    """Stands between one process and the broker. Use it as an async context manager."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_lose = dict.fromkeys(Direction, 0)
        self._listener: asyncio.Server | None = None
        self.lost = 0
        """Acknowledgements swallowed so far."""

    @property
    def port(self) -> int:
        assert self._listener is not None
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        return len(self._links)

    def lose_acks(self, direction: Direction, count: int = 1) -> None:
        """Swallow the next acknowledgements that travel in this direction."""
        self._to_lose[direction] += count

    def lose_no_more(self) -> None:
        self._to_lose = dict.fromkeys(Direction, 0)

    def go_silent(self, *, publishing_only: bool = False) -> int:
        """From now on nothing that is sent on today's connections arrives, and nobody is told. Returns how many."""
        links = [link for link in self._links if link.publishes or not publishing_only]
        for link in links:
            link.silent = True
        return len(links)

    def cut(self) -> int:
        """Reset today's connections. Returns how many."""
        for link in self._links:
            link.abort()
        return len(self._links)

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            server_reader, server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            client.transport.abort()
            return
        link = _Link(client, server)
        self._links.add(link)
        pumps = [
            asyncio.create_task(link.pump(client_reader, Direction.TO_SERVER, self._loses(Direction.TO_SERVER))),
            asyncio.create_task(link.pump(server_reader, Direction.TO_CLIENT, self._loses(Direction.TO_CLIENT))),
        ]
        try:
            # Silence goes both ways: while one end believes in the connection it is not told that the other left.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if link.silent:
                await asyncio.wait(pumps)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            for outcome in await asyncio.gather(*pumps, return_exceptions=True):
                assert outcome is None or isinstance(outcome, (OSError, asyncio.CancelledError)), outcome
            link.abort()

    def _loses(self, direction: Direction) -> Callable[[bytes], bool]:
        def lost(frame: bytes) -> bool:
            if not self._to_lose[direction] or not is_ack(frame):
                return False
            self._to_lose[direction] -= 1
            self.lost += 1
            return True

        return lost

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
