"""Server-sent events: what all streams have in common."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from telemetry import metrics

log = structlog.get_logger()

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = ": keep-alive\n\n"
CLOSING = 'event: closing\ndata: {"reason": "the gateway stops; come again with Last-Event-ID"}\n\n'
STALLED_S = 60.0
"""A client that has taken nothing of what was written for so long is left."""


class EventStream(StreamingResponse):
    def __init__(self, events: AsyncIterator[str | bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_S):
                await send(message)

        with metrics.SUBSCRIBERS.labels("sse").track_inprogress():
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:
                log.info("subscriber_left", reason="it reads nothing", after_s=STALLED_S)
