"""The two routes that every peer has, so that the peers differ in their task library only."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel

PENDING = object()

Payload = dict[str, Any]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Params(BaseModel):
    payload: Payload


class Submission(BaseModel):
    """The request that every contender gets, ours too."""

    kind: str
    params: Params


def gateway(
    submit: Callable[[Payload], Awaitable[str]],
    read: Callable[[str], Awaitable[Any]],
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """An application that answers `POST /jobs` and `GET /jobs/{id}`; `read` returns PENDING or the result."""
    app = FastAPI(lifespan=lifespan)

    # A response that is built by hand skips FastAPI's serialization: the peers get the fast way.
    @app.post("/jobs")
    async def post(submission: Submission) -> JSONResponse:
        job_id = await submit(submission.params.payload)
        return JSONResponse({"id": job_id, "status": "queued"}, status_code=202)

    @app.get("/jobs/{job_id}")
    async def get(job_id: str) -> JSONResponse:
        result = await read(job_id)
        if result is PENDING:
            return JSONResponse({"id": job_id, "status": "queued"})
        return JSONResponse({"id": job_id, "status": "succeeded", "result": result})

    return app
