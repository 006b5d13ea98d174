"""OpenAI's API, for its clients: `OpenAI(base_url=".../openai/v1", api_key=...)`. Each request is a job."""

import base64
import struct
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from gateway import problems
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.hot import HotRoute
from gateway.openai import errors
from gateway.openai.completions import Completion
from gateway.openapi import model_body
from gateway.problems import ProblemError, invalid_parameters
from gateway.streaming import EventStream
from gateway.texts import Ended, Told, follow
from schemas.jobs.text_embed import TEXT_EMBED, EmbedText, TextEmbedded
from schemas.jobs.text_generate import TEXT_GENERATE, GenerateText
from schemas.lifecycle import JobState
from schemas.openai import CompletionRequest, EmbeddingRequest
from schemas.resources import Job
from schemas.texts import DEFAULT_MODEL
from storage import workers

_M = TypeVar("_M", bound=BaseModel)

_LOOK_AFTER_S = 2.0  # whether the client of a request without a stream is still there


class _Route(HotRoute):
    """Errors have OpenAI's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except Exception as error:  # noqa: BLE001  # what nobody foresaw is raised again
                problem = problems.problem_of(error)
                return errors.answer(*errors.of_problem(problem), problem.headers)

        return handle


router = APIRouter(prefix="/openai/v1", tags=["openai"], route_class=_Route)


@router.post("/chat/completions", openapi_extra=model_body(CompletionRequest))
async def complete(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """The next message of a chat, whole or as a stream, as OpenAI's clients ask for it and read it. A job of kind
    `text.generate`, which is cancelled when its client goes."""
    asked = _read(CompletionRequest, await parts.submission.json_body(request))
    params = _params(asked)
    job = await parts.submission.accepted(request, principal, TEXT_GENERATE, params)
    with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    completion = Completion(job.job_id, asked.model, int(time.time()), with_usage)
    told = _until_ended(parts, principal, job.job_id, job.generation)
    if asked.stream:
        first = await anext(told)  # what cannot be written at all is an error, and no stream
        if not isinstance(first, Ended) or first.job.status is JobState.SUCCEEDED:
            return EventStream(completion.chunks(_beginning_with(first, told)))
        return errors.answer(*errors.of_job(first.job))
    ended = await _ended(request, told)
    if ended.status is not JobState.SUCCEEDED:
        return errors.answer(*errors.of_job(ended))
    return errors.answer(200, completion.whole(ended))


@router.post("/embeddings", openapi_extra=model_body(EmbeddingRequest))
async def embed(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Vectors of texts, as OpenAI's clients ask for them. A job of kind `text.embed`."""
    asked = _read(EmbeddingRequest, await parts.submission.json_body(request))
    params = EmbedText(model=asked.model, inputs=asked.inputs)
    job = await parts.submission.accepted(request, principal, TEXT_EMBED, params)
    ended = await _ended(request, _until_ended(parts, principal, job.job_id, job.generation))
    if ended.status is not JobState.SUCCEEDED:
        return errors.answer(*errors.of_job(ended))
    result = TextEmbedded.model_validate(ended.result)
    encode = _base64 if asked.encoding_format == "base64" else list
    data = [{"object": "embedding", "index": at, "embedding": encode(each)} for at, each in enumerate(result.outputs)]
    usage = {"prompt_tokens": result.tokens, "total_tokens": result.tokens}
    return errors.answer(200, {"object": "list", "data": data, "model": asked.model, "usage": usage})


@router.get("/models")
async def list_models(request: Request, principal: Principal, parts: PartsDependency) -> Response:  # noqa: ARG001  # passed by name
    """The bundled encoder, and the language models that workers find in their folders."""
    return errors.answer(200, {"object": "list", "data": [_model(name) for name in await _models(parts)]})


@router.get("/models/{model:path}")
async def get_model(request: Request, principal: Principal, parts: PartsDependency, model: str) -> Response:  # noqa: ARG001
    if model not in await _models(parts):
        raise ProblemError("not-found", f"no worker has a model {model!r}")
    return errors.answer(200, _model(model))


def _params(asked: CompletionRequest) -> GenerateText:
    try:
        messages = [turn.message for turn in asked.messages]
        return GenerateText(model=asked.model, messages=messages, options=asked.options)
    except ValidationError as error:
        raise invalid_parameters(error) from None


def _read(model: type[_M], content: Any) -> _M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid_parameters(error) from None


async def _until_ended(
    parts: Parts, principal: str, job_id: str, generation: int
) -> AsyncGenerator[Told | None, None]:
    """All that is told of a job, which is cancelled when nobody reads to its end."""
    ended = False
    try:
        async for told in follow(parts, job_id, generation, 0, _LOOK_AFTER_S):
            ended = isinstance(told, Ended)
            yield told
    finally:
        if not ended and not parts.closing.is_set():
            parts.cancellation.abandon(job_id, principal)


async def _beginning_with(
    first: Told | None, rest: AsyncGenerator[Told | None, None]
) -> AsyncGenerator[Told | None, None]:
    try:
        yield first
        async for told in rest:
            yield told
    finally:
        await rest.aclose()


async def _ended(request: Request, told: AsyncGenerator[Told | None, None]) -> Job:
    """Raises ProblemError when the client goes, or the gateway stops, before."""
    try:
        async for each in told:
            if isinstance(each, Ended):
                return each.job
            if each is None and await request.is_disconnected():
                break
    finally:
        await told.aclose()
    raise ProblemError("broker-unavailable", "the gateway stops; ask again")


async def _models(parts: Parts) -> list[str]:
    """Raises StoreUnavailable."""
    roster = await parts.store.reading(workers.roster(parts.database))
    alive = [each for each in roster if each.alive(datetime.now(UTC))]
    listed = [pool.get("models", []) for each in alive for name, pool in each.status.items() if name == "generation"]
    return sorted({DEFAULT_MODEL, *(name for names in listed for name in names)})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "millrace"}


def _base64(vector: list[float]) -> str:
    """Single precision, the least significant byte first: as OpenAI's clients ask unless they are told otherwise."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
