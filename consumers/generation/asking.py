"""What a worker asks of its device's child process, and what it hears: known to both, and without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.generation import ChatMessage, FinishReason, GenerateOptions


@dataclass(frozen=True)
class Ask:
    """A text to be written."""

    id: str
    source: str | Sequence[ChatMessage]
    """A prompt or a chat."""
    options: GenerateOptions
    seed: int
    written: Sequence[int] = ()
    """Tokens that an earlier run has written of it."""


@dataclass(frozen=True)
class Piece:
    """What one more token says."""

    token: int
    text: str
    """Empty while it is no whole character, or may become a stop text."""
    finish: FinishReason | None = None
    """Set with the last."""


@dataclass(frozen=True)
class Begun:
    prompt_tokens: int
    dropped_messages: int
    pieces: Sequence[Piece]
    """Of what was written before; when its last one ends the text there is nothing more to do."""


@dataclass(frozen=True)
class Said:
    """By the passes of one step."""

    pieces: Sequence[tuple[str, Piece]]
    failed: Sequence[tuple[str, str]]
    """Texts that were given up, and why."""
    busy: bool
    """There is more to be written."""
