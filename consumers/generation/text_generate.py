"""`text.generate`: one text, told live while it is written.

Short mode: when the worker dies, the broker hands the job to another one at once, which reads what was told and goes
on behind it.
"""

import time
from typing import TYPE_CHECKING
from uuid import uuid4

from consumers.generation.asking import Ask, Piece
from consumers.runtime.handler import Task, handles
from schemas.generation import FinishReason, Usage, WritingTime
from schemas.jobs.text_generate import TEXT_GENERATE, GenerateText, TextGenerated

if TYPE_CHECKING:
    from consumers.generation import Generation


@handles(TEXT_GENERATE, prefetch=64)
async def generate_text(task: Task[GenerateText], resources: "Generation") -> TextGenerated:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full or was lost."""
    params, envelope, started = task.params, task.envelope, time.monotonic()
    seed = _seed(envelope.job_id) if params.options.seed is None else params.options.seed
    async with resources.live.of(envelope.job_id, envelope.generation) as live:
        ask = Ask(uuid4().hex, params.prompt or params.messages or "", params.options, seed, await live.written())
        async with resources.scribe.text(params.model, ask) as text:
            pieces: list[Piece] = list(text.begun.pieces)
            live.repeat([piece.token for piece in pieces], [piece.text for piece in pieces])
            first_s = None
            async for piece in text.pieces():
                if not pieces:
                    first_s = time.monotonic() - started
                pieces.append(piece)
                live.add(piece.token, piece.text)
    return TextGenerated(
        text="".join(piece.text for piece in pieces),
        finish_reason=pieces[-1].finish or FinishReason.STOP,
        usage=Usage(prompt_tokens=text.begun.prompt_tokens, completion_tokens=len(pieces)),
        dropped_messages=text.begun.dropped_messages,
        seed=seed,
        model=text.model,
        timing=WritingTime(first_token_s=first_s, run_s=time.monotonic() - started),
    )


def _seed(job_id: str) -> int:
    """The same in every attempt."""
    return int(job_id.replace("-", "")[-8:], 16)
