"""Health and metrics, open to everybody who can reach the port."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.dependencies import Parts, PartsDependency
from storage import database
from storage.database import StoreUnavailable
from storage.feed import FeedUnavailable

router = APIRouter(tags=["health"])


@router.get("/health/liveness")
async def liveness() -> dict[str, str]:
    """The process answers. Says nothing about what it depends on."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(parts: PartsDependency) -> Response:
    """503 while jobs can be neither accepted nor read; `degraded` names what is slower or missing."""
    return await _health(parts)


@router.get("/health")
async def health(parts: PartsDependency) -> Response:
    """The same as `/health/ready`."""
    return await _health(parts)


@router.get("/health/db")
async def health_db(parts: PartsDependency) -> Response:
    """Whether the store answers a read."""
    up = await _store_up(parts)
    return JSONResponse({"status": "ok" if up else "away"}, status_code=200 if up else 503)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics() -> Response:
    """Prometheus text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _health(parts: Parts) -> Response:
    broker, store, redis = parts.publisher.connected, await _store_up(parts), await _redis_up(parts)
    state = {True: "ok", False: "away"}
    works = broker and store
    return JSONResponse(
        {
            "status": "ok" if works and redis else "degraded" if works else "unavailable",
            "dependencies": {"broker": state[broker], "store": state[store], "redis": state[redis]},
            "capabilities": {
                "submit": state[broker],
                "read": state[store],
                "live": "ok" if redis else "degraded: streams and waits look at the store twice a second",
            },
        },
        status_code=200 if works else 503,
    )


async def _store_up(parts: Parts) -> bool:
    try:
        await database.ping(parts.database)
    except StoreUnavailable:
        return False
    return True


async def _redis_up(parts: Parts) -> bool:
    try:
        await parts.feed.ping()
    except FeedUnavailable:
        return False
    return True
