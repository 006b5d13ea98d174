"""A receiver of webhooks that behaves as its path says, badly for the most part."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_ANSWERS = {
    "ok": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks",
    "500": b"HTTP/1.1 500 Oh no\r\ncontent-length: 0\r\n\r\n",
    "gone": b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n",
    "later": b"HTTP/1.1 503 Busy\r\nretry-after: 7200\r\ncontent-length: 0\r\n\r\n",
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
    "long-header": b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "drop": b"",
    "half": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
}
_CHUNK = b"a" * 65_536


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`at("slow")` is where it is slow. What is in `instead` behaves as another path does."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    instead: dict[str, str] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of endless answers that were taken, by path."""
    held: Counter[str] = field(default_factory=Counter)
    most_held: Counter[str] = field(default_factory=Counter)
    """Requests that were kept waiting at the same time, by path."""

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def of(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can go on."""
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = head.split()[1].removeprefix("/")
        self.requests.append(Received(path, headers, body))
        behaviour = self.instead.get(path, path.partition("/")[0])
        match behaviour:
            case "slow":
                self.held[path] += 1
                self.most_held[path] = max(self.held[path], self.most_held[path])
                await reader.read()  # until the other side has had enough
                self.held[path] -= 1
            case "huge" | "endless":
                length = b"content-length: 10000000000" if behaviour == "huge" else b"connection: close"
                writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
                while not writer.is_closing():
                    writer.write(_CHUNK if behaviour == "huge" else b"a")
                    await writer.drain()
                    self.sent[path] += len(_CHUNK) if behaviour == "huge" else 1
                    await asyncio.sleep(0 if behaviour == "huge" else 0.01)
            case _:
                writer.write(_ANSWERS[behaviour])
                await writer.drain()
        return behaviour == "ok"


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        task.add_done_callback(serving.discard)
        await found.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
