"""/healthz and /metrics of a consumer process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Health = Callable[[], dict[str, Any]]


@asynccontextmanager
async def serve_health(host: str, port: int, health: Health) -> AsyncIterator[None]:
    """Serve until exit. `health()["status"]` decides between 200 and 503."""

    async def healthz(_request: Request) -> Response:
        found = health()
        return JSONResponse(found, status_code=200 if found["status"] == "ok" else 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])
    config = uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off")
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Leaves signals to the process, which drains its pools first."""

    def capture_signals(self) -> Any:
        return _no_signals()


class _no_signals:  # noqa: N801  # used like a function
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
