"""The gateway's composition root: settings in, ASGI application out; connections live in the lifespan."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from gateway import problems
from gateway.cancellation import Cancellation
from gateway.dependencies import Parts
from gateway.hot import HotPath
from gateway.inquiry import Inquiry
from gateway.keys import open_key_ring
from gateway.middleware import Front
from gateway.openapi import with_problem_schema
from gateway.routes import (
    asyncapi,
    code,
    conversations,
    datasets,
    dead_letters,
    events,
    health,
    inference,
    jobs,
    learning,
    models,
    notifications,
    openai,
    predictions,
    profiles,
    runs,
    sockets,
    tasks,
    texts,
    uploads,
    webhooks,
)
from gateway.settings import GatewaySettings
from gateway.standing_in import StandIn
from gateway.submission import Submission
from gateway.topics import open_topics
from gateway.view import JobView
from gateway.watch import open_watch
from messaging import topology
from messaging.bindings import Bindings
from messaging.inspection import AmqpInspector
from messaging.publisher import open_publisher
from messaging.settings import BrokerSettings
from producers.lint import LintSettings
from producers.outbox import Outbox
from storage.answers import open_kept_answers
from storage.blobs import BlobStore
from storage.cancellation import end
from storage.database import open_database
from storage.feed import FeedReader, open_event_log, open_feed_reader
from storage.partial_files import PartialFiles
from storage.settings import StorageSettings

_SOURCE = f"gateway-{socket.gethostname()}-{os.getpid()}"
_REFRESH_S = 2.0
_STORE_ABSENT_AFTER_S = 0.8  # a client that is told so asks again; one that is kept waiting cannot do anything

_EXPOSED = [
    *("Location", "ETag", "Retry-After", "Preference-Applied", "Idempotent-Replayed"),
    *("Cache-Status", "X-Request-ID"),
    *("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size"),
    *("Upload-Offset", "Upload-Length", "Upload-Expires"),
]

_DESCRIPTION = """Submit machine-learning jobs, wait for them, follow them.
A job answered with 202 is never lost and its result is applied exactly once."""


def create_app(settings: GatewaySettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _open_parts(settings) as parts:
            app.state.parts = parts
            yield

    # FastAPI's documentation page from files of our own: the stock one loads its scripts from a CDN.
    app = FastAPIOffline(
        title="Millrace",
        version=version("millrace"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        middleware=(layers := _layers(settings)),
    )
    for part in (
        *(jobs.hot, jobs.router, inference.router, inference.models, dead_letters.router),
        *(datasets.router, profiles.router),
        *(learning.hot, learning.router, models.router, predictions.router),
        *(events.router, sockets.router, notifications.router, webhooks.router),
        *(code.router, runs.router, tasks.router, texts.router, openai.router, conversations.router),
        *(uploads.router, health.router, asyncapi.router),
    ):
        app.include_router(part)
    problems.install(app)
    _document(app)
    _serve_first(app, [*jobs.hot.routes, *inference.router.routes, *learning.hot.routes], layers)
    return app


def _layers(settings: GatewaySettings) -> list[Middleware]:
    """What every request passes, outermost first."""
    if not settings.cors_origins:
        return [Middleware(Front)]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )
    return [Middleware(Front), cors]


def _serve_first(app: FastAPI, routes: Sequence[BaseRoute], layers: Sequence[Middleware]) -> None:
    """Hot routes are answered before the layers that FastAPI and Starlette put around all of ours."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: HotPath(build(), routes, layers)  # type: ignore[method-assign]  # no other way


@asynccontextmanager
async def _open_parts(settings: GatewaySettings) -> AsyncIterator[Parts]:
    broker, storage = BrokerSettings(), StorageSettings()
    await topology.require(broker.url)
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(open_publisher(broker, _SOURCE))
        database = await stack.enter_async_context(open_database(storage, _STORE_ABSENT_AFTER_S))
        store = await stack.enter_async_context(open_watch(database))
        feed = await stack.enter_async_context(open_feed_reader(storage))
        blobs = BlobStore(storage.blobs)
        view = JobView(feed, store, blobs)
        inspector = AmqpInspector(publisher.connection)
        inquiry = Inquiry(view, inspector, database, store)
        outbox = Outbox(publisher, blobs)
        kept = await stack.enter_async_context(open_kept_answers(storage))
        stand_in = StandIn(kept, inspector, database, store, outbox, _SOURCE)
        submission = Submission(outbox, feed, view, stand_in, _SOURCE, settings)
        cancellation = Cancellation(outbox, feed, view, _SOURCE)
        await stack.enter_async_context(_kept_fresh(submission, stand_in, feed))
        closing = asyncio.Event()
        topics = await stack.enter_async_context(
            open_topics(await stack.enter_async_context(open_event_log(storage)), closing)
        )
        keys = open_key_ring(settings)
        partial_files = PartialFiles(settings.data_dir.resolve() / "uploads")
        partial_files.sweep()
        yield Parts(
            settings=settings,
            keys=keys,
            publisher=publisher,
            inspector=inspector,
            bindings=Bindings(publisher.connection),
            database=database,
            store=store,
            feed=feed,
            view=view,
            blobs=blobs,
            uploads=partial_files,
            submission=submission,
            cancellation=cancellation,
            inquiry=inquiry,
            topics=topics,
            closing=closing,
            lint=LintSettings(),
        )


@asynccontextmanager
async def _kept_fresh(submission: Submission, stand_in: StandIn, feed: FeedReader) -> AsyncIterator[None]:
    async def keep() -> None:
        while True:
            submission.pace = await feed.pace()
            await stand_in.look()
            await asyncio.sleep(_REFRESH_S)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        await end(keeping)


def _document(app: FastAPI) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = with_problem_schema(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
