"""The same news on WebSockets: one for many topics and jobs, and one per job."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, WebSocket

from gateway import problems
from gateway.conversation import Conversation
from gateway.dependencies import authenticated
from gateway.finding import find
from gateway.keys import scope_of

router = APIRouter(prefix="/v1")


@router.websocket("/ws")
async def converse(socket: WebSocket) -> None:
    """Subscribe to topics and jobs, as many as one likes: see `schemas.listening` for what is said on it."""
    await _hold(socket, Conversation.answer)


@router.websocket("/jobs/{job_id}/ws")
async def follow_job(socket: WebSocket, job_id: str, after: int = -1) -> None:
    """The life of one job behind `after`; closed when the job has ended."""

    async def tell(conversation: Conversation) -> None:
        await conversation.tell_job(job_id, after)

    await _hold(socket, tell, job_id)


async def _hold(
    socket: WebSocket, talk: Callable[[Conversation], Awaitable[None]], job_id: str | None = None
) -> None:
    """Refusals are answered to the handshake, as problem documents."""
    parts = socket.app.state.parts
    try:
        principal = authenticated(socket)
        if job_id is not None:
            await find(parts, job_id)
    except Exception as error:  # noqa: BLE001  # what nobody foresaw is raised again
        await socket.send_denial_response(problems.response(socket, problems.problem_of(error)))
        return
    await Conversation(socket, parts, scope_of(principal)).hold(talk)
