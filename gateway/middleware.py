"""What every request passes, as plain ASGI: ids, the `/api` prefix, log line, metrics."""

import re
import time
from functools import cache

import structlog
from prometheus_client import Histogram
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import ProblemError, response
from schemas.envelope import new_id
from telemetry import metrics, trace

log = structlog.get_logger()

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # a label, so a closed list
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Front:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        request_id = request_id if _REQUEST_ID.fullmatch(request_id) else new_id()
        scope["millrace.request_id"] = request_id
        scope["millrace.traceparent"] = trace.child_of(headers.get("traceparent"))
        if scope["path"].startswith("/api/v1/"):  # the documented prefix of older clients
            scope["path"] = scope["path"].removeprefix("/api")
        with structlog.contextvars.bound_contextvars(
            request_id=request_id, trace_id=trace.trace_id(scope["millrace.traceparent"])
        ):
            answer = self._observed if scope["type"] == "http" else self._app
            await answer(scope, receive, send)

    async def _observed(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 0
        ids = (
            (b"x-request-id", scope["millrace.request_id"].encode()),
            (b"traceparent", scope["millrace.traceparent"].encode()),
        )

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *ids]
            await send(message)

        try:
            await self._app(scope, receive, send_with_ids)
        except Exception as error:
            # Here and not in Starlette's outermost layer, which knows none of the ids.
            log.exception("request_failed")
            if status:
                raise  # half an answer is out; closing the connection is all that is left to say
            failed = ProblemError("internal-error", type(error).__name__)
            await response(Request(scope), failed)(scope, receive, send_with_ids)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            _seconds_of(method, route, status).observe(seconds)
            log.info(
                "request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 1)
            )


@cache
def _seconds_of(method: str, route: str, status: int) -> Histogram:
    return metrics.HTTP_SECONDS.labels(method, route, status)
