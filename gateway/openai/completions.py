"""A text that is being written, as the chat completion that OpenAI would make of it, whole or in chunks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from gateway.openai.errors import of_job
from gateway.streaming import KEEP_ALIVE
from gateway.texts import Ended, Piece, Told
from schemas.jobs.text_generate import TextGenerated
from schemas.lifecycle import JobState
from schemas.resources import Job


@dataclass(frozen=True)
class Completion:
    job_id: str
    model: str
    created: int
    """Seconds since 1970."""
    with_usage: bool

    def whole(self, job: Job) -> dict[str, Any]:
        """Of a job that succeeded."""
        result = TextGenerated.model_validate(job.result)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": result.text, "refusal": None},
            "finish_reason": result.finish_reason,
            "logprobs": None,
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage_of(result)}

    async def chunks(self, told: AsyncIterator[Told | None]) -> AsyncIterator[str]:
        """As server-sent events. An error ends them with an event that the client raises."""
        yield self._chunk({"role": "assistant", "content": ""})
        async for each in told:
            match each:
                case None:
                    yield KEEP_ALIVE
                case Piece(text, _):
                    yield self._chunk({"content": text})
                case Ended(job):
                    for last in self._end(job):
                        yield last
                case _:  # a text that begins anew cannot be told
                    yield _event({"error": {"message": "the text was lost on its way", "type": "api_error"}})
                    return

    def _end(self, job: Job) -> list[str]:
        if job.status is not JobState.SUCCEEDED:
            return [_event(of_job(job)[1])]
        result = TextGenerated.model_validate(job.result)
        ended = [self._chunk({}, result.finish_reason)]
        if self.with_usage:
            ended.append(_event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage_of(result)}))
        return [*ended, "data: [DONE]\n\n"]

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        chunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return _event({**chunk, "usage": None} if self.with_usage else chunk)

    def _head(self, what: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.job_id}", "object": what, "created": self.created, "model": self.model}


def usage_of(result: TextGenerated) -> dict[str, int]:
    used = result.usage
    return {**used.model_dump(), "total_tokens": used.prompt_tokens + used.completion_tokens}


def _event(data: dict[str, Any]) -> str:
    return f"data: {to_json(data).decode()}\n\n"
