"""A gateway behind a real socket, and the server-sent events that come out of it.

`processes.gateway` answers within the process and only when the whole body is there; streams and refusals in the
middle of a body need a connection.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import from_json

from gateway.app import create_app
from gateway.keys import new_key
from gateway.server import Server, gateway_config
from gateway.settings import GatewaySettings
from millrace.stack.ports import free_port
from tests.support.waiting import eventually


@asynccontextmanager
async def served_gateway(**settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client that holds the key of a gateway on a port of its own."""
    key, port = new_key(), free_port()
    app = create_app(GatewaySettings.model_validate({"api_key": key, **settings}))
    server = _Server(gateway_config(app, port=port, timeout_graceful_shutdown=2))
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started or serving.done()

    try:
        await eventually(started)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": key}, timeout=30, trust_env=False
        ) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


class _Server(Server):
    """Leaves signals to pytest."""

    def capture_signals(self) -> Any:
        return nullcontext()


@dataclass
class StreamEvent:
    id: int | None = None
    event: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    comment: str = ""


async def stream(client: httpx.AsyncClient, job_id: str, after: int | None = None) -> AsyncIterator[StreamEvent]:
    """What `GET /v1/jobs/{id}/events` sends until its end. `contextlib.aclosing` leaves earlier."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        assert response.headers["content-type"].startswith("text/event-stream")
        lines: list[str] = []
        async for line in response.aiter_lines():
            if line:
                lines.append(line)
                continue
            yield _event(lines)
            lines = []


async def whole_stream(client: httpx.AsyncClient, job_id: str, after: int | None = None) -> list[StreamEvent]:
    return [event async for event in stream(client, job_id, after)]


def _event(lines: list[str]) -> StreamEvent:
    found = StreamEvent()
    for line in lines:
        name, _, value = line.partition(": ")
        match name:
            case "id":
                found.id = int(value)
            case "event":
                found.event = value
            case "data":
                found.job = from_json(value)
            case _:
                found.comment = value
    return found
