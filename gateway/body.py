"""Request bodies, read up to a limit."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.types import Message

from gateway.problems import ProblemError


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises ProblemError as soon as it is known to be too large; closing the connection spares us the
    rest."""
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    content = bytearray()
    if size <= limit:
        async for chunk in request.stream():
            content += chunk
            size = len(content)
            if size > limit:
                break
    if size > limit:
        raise ProblemError("payload-too-large", f"at most {limit:,} bytes", headers={"Connection": "close"})
    return bytes(content)


class LimitedRoute(APIRoute):
    """A route whose body FastAPI reads. Starlette's own limit answers in plain text, even after a handler did."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def limited(request: Request) -> Response:
            content = await read_body(request, request.app.state.parts.settings.max_body_bytes)

            async def again() -> Message:
                return {"type": "http.request", "body": content, "more_body": False}

            return await handle(Request(request.scope, again))

        return limited
