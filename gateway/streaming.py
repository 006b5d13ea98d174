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
        watch = _Watch()

        async def send_watched(message: Message) -> None:
            watch.since = watch.loop.time()
            await send(message)
            watch.since = None

        with metrics.SUBSCRIBERS.labels("sse").track_inprogress():
            try:
                await super().__call__(scope, receive, send_watched)
            except asyncio.CancelledError:
                if not watch.gave_up:
                    raise
                watch.task.uncancel()
                log.info("subscriber_left", reason="it reads nothing", after_s=STALLED_S)
            finally:
                watch.timer.cancel()


class _Watch:
    """Ends a stream whose client takes nothing. One timer for all that is sent: one for each was half the price."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checker: an application runs in a task
        self.task, self.loop = task, asyncio.get_running_loop()
        self.since: float | None = None
        self.gave_up = False
        self._look_later()

    def _look(self) -> None:
        if self.since is not None and self.loop.time() - self.since > STALLED_S:
            self.gave_up = self.task.cancel()
        else:
            self._look_later()

    def _look_later(self) -> None:
        self.timer = self.loop.call_later(STALLED_S / 2, self._look)
