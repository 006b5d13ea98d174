"""aio-pika's recovering connection on a wire of ours: aiormq lets its transport be chosen."""

import asyncio
from typing import Any

from aio_pika.robust_connection import RobustConnection
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from messaging.wire import OnMessage, Wire


class _Writer(asyncio.StreamWriter):
    """aio-pika's end: what it writes keeps its place among what is written here."""

    def __init__(self, transport: asyncio.WriteTransport, wire: Wire, reader: asyncio.StreamReader) -> None:
        super().__init__(transport, wire, reader, asyncio.get_running_loop())
        self._wire = wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.write(bytes(data))

    def write_eof(self) -> None:
        self._wire.flush()
        super().write_eof()

    def close(self) -> None:
        self._wire.flush()
        super().close()


class _Factory(TransportFactory):
    def __init__(self, consumers: dict[str, OnMessage]) -> None:
        self._consumers = consumers
        self.wire: Wire | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        provider = kwargs.pop("ssl_context_provider")
        ssl = await provider.get_context() if url.scheme == "amqps" else None
        reader = asyncio.StreamReader()
        try:
            transport, self.wire = await asyncio.get_running_loop().create_connection(
                lambda: Wire(reader, self._consumers), url.host or "localhost", url.port or 5672, ssl=ssl, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        return reader, _Writer(transport, self.wire, reader)


class WiredConnection(RobustConnection):
    """A connection that recovers, with a wire below. Each recovery brings another wire."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.consumers: dict[str, OnMessage] = {}
        """Whose messages go past aio-pika, by consumer tag."""
        self._factory = _Factory(self.consumers)
        self.kwargs["transport_factory"] = self._factory

    @property
    def wire(self) -> Wire:
        if self._factory.wire is None:
            raise RuntimeError("not connected yet")
        return self._factory.wire
