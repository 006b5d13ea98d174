"""What a language model writes, as it writes it."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic_core import to_json

from gateway import preferences
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.finding import find_own
from gateway.openapi import PROBLEM_RESPONSES
from gateway.streaming import CLOSING, KEEP_ALIVE, KEEP_ALIVE_S, EventStream
from gateway.texts import Ended, Piece, follow
from gateway.view import Snapshot

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["inference"], responses=PROBLEM_RESPONSES)

_ENDED = "ended"
"""The name of the last event, and its id: who has seen it misses nothing."""


@router.get("/text", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def stream(job_id: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """What a job of kind `text.generate` writes, as server-sent events while it does: `text` with `{"text": ...}`, to
    be appended, and at last `ended` with the job. Ids are numbers of tokens, and `Last-Event-ID` resumes, also when
    another worker goes on. `void` says that the text begins anew, where nobody can continue what the client has."""
    found = await find_own(parts, job_id, principal)
    if request.headers.get("last-event-id", "").strip() == _ENDED:
        return Response(status_code=204)
    after = max(0, preferences.known_order(request.headers))
    return EventStream(_events(parts, found, after))


async def _events(parts: Parts, found: Snapshot, after: int) -> AsyncIterator[str]:
    async for told in follow(parts, found.job_id, found.fields["generation"], after, KEEP_ALIVE_S):
        match told:
            case None:
                yield KEEP_ALIVE
            case Piece(text, tokens):
                yield f"id: {tokens}\nevent: text\ndata: {to_json({'text': text}).decode()}\n\n"
            case Ended(job):
                yield f"id: {_ENDED}\nevent: {_ENDED}\ndata: {job.model_dump_json()}\n\n"
                return
            case _:
                yield "id: 0\nevent: void\ndata: {}\n\n"
    yield CLOSING
