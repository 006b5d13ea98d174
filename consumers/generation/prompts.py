"""From what is asked to the tokens that a model reads, and what becomes of more than its context."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import TemplateError

from consumers.generation.refusals import refused
from schemas.generation import ChatMessage, Role

_USUAL_TOKENS = 256


class PromptTokenizer(Protocol):
    """Of transformers' tokenizers what we use."""

    chat_template: Any

    def __call__(self, text: str, **options: Any) -> Any: ...

    def apply_chat_template(self, messages: Sequence[dict[str, str]], **options: Any) -> Any: ...


@dataclass(frozen=True)
class Prompt:
    ids: list[int]
    most: int
    """New tokens that may follow."""
    dropped: int = 0
    """Messages that were left out."""


@dataclass(frozen=True)
class Context:
    """What a model can have before it, and what is asked of it."""

    tokens: int
    wanted: int | None
    """New tokens; when None as usual, or as there is room for."""
    drop_oldest: bool

    @property
    def needed(self) -> int:
        """New tokens for which there must be room."""
        return self.wanted or 1

    @property
    def room(self) -> int:
        """For the prompt."""
        return self.tokens - self.needed

    def most(self, read: int) -> int:
        return self.wanted or min(_USUAL_TOKENS, self.tokens - read)


def of_text(tokenizer: PromptTokenizer, text: str, context: Context) -> Prompt:
    """Raises Reject."""
    ids = list(tokenizer(text)["input_ids"])
    if not ids:
        raise refused("/prompt", "nothing in it that the model can read; write something", "input-empty")
    _require_room(context)
    if len(ids) > context.room:
        if not context.drop_oldest:
            raise _too_long("/prompt", len(ids), context)
        ids = ids[-context.room :]
    return Prompt(ids, context.most(len(ids)))


def of_chat(tokenizer: PromptTokenizer, messages: Sequence[ChatMessage], context: Context) -> Prompt:
    """Raises Reject."""
    if tokenizer.chat_template is None:
        detail = "the model has no chat template; give a `prompt`, or save the model with one"
        raise refused("/messages", detail, "model-unsupported")
    _require_room(context)
    ids = _templated(tokenizer, messages)
    if len(ids) <= context.room:
        return Prompt(ids, context.most(len(ids)))
    shorter = _shortened(tokenizer, messages, context.room) if context.drop_oldest else None
    if shorter is None:
        raise _too_long("/messages", len(ids), context)
    ids = _templated(tokenizer, shorter)
    return Prompt(ids, context.most(len(ids)), len(messages) - len(shorter))


def _shortened(
    tokenizer: PromptTokenizer, messages: Sequence[ChatMessage], room: int
) -> Sequence[ChatMessage] | None:
    """As few of the oldest left out as have to be; None when that is not enough. What is kept begins with a user's
    message, since many templates know no other order."""
    *before, last = messages
    leading = [each for each in before if each.role is Role.SYSTEM]
    turns = [each for each in before if each.role is not Role.SYSTEM]
    begins = [at for at, each in enumerate(turns) if each.role is Role.USER]
    candidates = [[*leading, *turns[at:], last] for at in (*begins, len(turns))]
    found = bisect_left(candidates, True, key=lambda kept: len(_templated(tokenizer, kept)) <= room)
    return candidates[found] if found < len(candidates) else None


def _templated(tokenizer: PromptTokenizer, messages: Sequence[ChatMessage]) -> list[int]:
    told = [{"role": each.role.value, "content": each.content} for each in messages]
    try:
        text = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:  # templates refuse roles and orders that their model has never seen
        raise refused("/messages", f"the model's chat template refuses them: {error}", "invalid-input") from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _require_room(context: Context) -> None:
    if context.needed >= context.tokens:
        detail = f"no room for a prompt beside {context.needed} tokens; the model's context is {context.tokens}"
        raise refused("/options/max_tokens", detail, "input-too-long")


def _too_long(field: str, tokens: int, context: Context) -> Exception:
    detail = (
        f"{tokens} tokens, and room for {context.needed} to be written, are more than the model's context of "
        f"{context.tokens}; shorten it, ask for fewer options.max_tokens, or allow options.overflow drop-oldest"
    )
    return refused(field, detail, "input-too-long")
