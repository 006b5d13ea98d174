"""`dead-letters.replay`: bring dead letters back to the queues they came from."""

from typing import Annotated

from pydantic import Field

from schemas.contract import Contract
from schemas.dead_letters import MAX_CANARY, MAX_RATE, LetterFilter
from schemas.kinds import JobKind


class ReplayLetters(Contract, name="dead-letters.replay"):
    """Publish open dead letters once more, each with its next generation. Letters stored later never join."""

    filter: LetterFilter = LetterFilter()
    """Which of the open letters; the default is all."""
    rate: Annotated[float, Field(gt=0, le=MAX_RATE)] | None = None
    """Letters per second at most."""
    canary: Annotated[int, Field(ge=1, le=MAX_CANARY)] | None = None
    """Replay so many first, the oldest of each group before others, and stop when one of them fails again."""
    canary_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 300
    """How long to wait for their jobs to end, in seconds; after that the replay stops too."""


class CanaryFailure(Contract):
    letter: str
    job_id: str
    why: str
    """`fails-again`: with the same fingerprint; `died`: of something else; `unfinished`: not within the limit."""
    fingerprint: str | None
    detail: str


class Stuck(Contract):
    letter: str
    detail: str


class LettersReplayed(Contract, name="dead-letters.replayed"):
    """How many letters were replayed, and why the rest was not."""

    selected: int
    """Open letters that fitted the filter at the start."""
    replayed: int
    left: int
    """Letters that were selected and are not replayed: discarded meanwhile, behind a failed canary, or stuck."""
    canaries: int
    stopped_by_canary: bool
    evidence: list[CanaryFailure]
    """The canaries that failed, at most 20."""
    stuck: list[Stuck]
    """Letters that cannot be published, at most 20: their queue or their bytes are gone. They stay open."""


DEAD_LETTERS_REPLAY = JobKind(ReplayLetters, LettersReplayed)
