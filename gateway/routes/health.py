"""Health and metrics, open to everybody who can reach the port."""

import asyncio
from dataclasses import asdict

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.capabilities import Surroundings, capabilities, overall
from gateway.dependencies import Parts, PartsDependency
from gateway.problems import AWAY_S
from messaging import names
from messaging.inspection import QueueCount
from messaging.publisher import BrokerUnavailable
from schemas.kinds import kinds
from storage.connection import RedisUnavailable

router = APIRouter(tags=["health"])


@router.get("/health/liveness")
async def liveness() -> dict[str, str]:
    """The process answers. Says nothing about what it depends on."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(parts: PartsDependency) -> Response:
    """503 while jobs can be neither accepted nor read. Otherwise 200: `capabilities` names what a user can do, and in
    which way it is slower or less while a part is away."""
    return await _health(parts)


@router.get("/health")
async def health(parts: PartsDependency) -> Response:
    """The same as `/health/ready`."""
    return await _health(parts)


@router.get("/health/db")
async def health_db(parts: PartsDependency) -> Response:
    """Whether the store answers a read."""
    up = await parts.store.look()
    headers = None if up else {"Retry-After": str(AWAY_S)}
    return JSONResponse({"status": "ok" if up else "away"}, status_code=200 if up else 503, headers=headers)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics() -> Response:
    """Prometheus text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _health(parts: Parts) -> Response:
    store, redis, queues = await asyncio.gather(parts.store.look(), _redis_up(parts), _queues(parts))
    found = Surroundings(store=store, redis=redis, queues=queues)
    able = capabilities(found, sorted(kinds()))
    status = overall(able)
    dependencies = {"broker": found.broker, "store": store, "redis": redis, "ledger": found.ledger}
    return JSONResponse(
        {
            "status": status,
            "dependencies": {name: "ok" if up else "away" for name, up in dependencies.items()},
            "capabilities": {name: asdict(capability) for name, capability in able.items()},
        },
        status_code=503 if status == "unavailable" else 200,
        headers={"Retry-After": str(AWAY_S)} if status == "unavailable" else None,
    )


async def _redis_up(parts: Parts) -> bool:
    try:
        await parts.feed.ping()
    except RedisUnavailable:
        return False
    return True


async def _queues(parts: Parts) -> dict[str, QueueCount] | None:
    try:
        return await parts.inspector.count([names.LEDGER, *map(names.work_queue, sorted(kinds()))])
    except BrokerUnavailable:
        return None
