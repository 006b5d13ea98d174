"""What those hear who listen over HTTP."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol


@dataclass(frozen=True)
class Heard:
    """One server-sent event."""

    id: str
    type: str
    data: Any


async def topic_events(client: httpx.AsyncClient, *topics: str, after: str | None = None) -> AsyncIterator[Heard]:
    """`contextlib.aclosing` leaves earlier."""
    headers = {} if after is None else {"Last-Event-ID": after}
    async with client.stream("GET", "/v1/events", params={"topic": list(topics)}, headers=headers) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if "data" in fields:
                yield Heard(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            elif "" in fields:
                yield Heard("", "comment", fields[""])
            fields = {}


@asynccontextmanager
async def socket(
    client: httpx.AsyncClient, path: str, *, key: str | None = None, subprotocols: list[str] | None = None
) -> AsyncIterator[ClientConnection]:
    url = str(client.base_url.copy_with(scheme="ws")).rstrip("/") + path
    headers = {"X-API-Key": client.headers["x-api-key"] if key is None else key} if subprotocols is None else {}
    offered = None if subprotocols is None else [Subprotocol(name) for name in subprotocols]
    async with connect(url, additional_headers=headers, subprotocols=offered, proxy=None) as found:
        yield found


async def say(socket: ClientConnection, **message: object) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await socket.recv())
    return found
