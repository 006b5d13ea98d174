"""What is known of a run when it is over: jobs accepted, messages seen, documents found."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from schemas.envelope import Envelope

Row = dict[str, Any]

TOLD = "system.long-probe"
"""The kind whose ends a webhook asks for."""


@dataclass(frozen=True)
class Wanted:
    """A job to submit, and its end."""

    kind: str
    params: dict[str, Any]
    status: str
    result: dict[str, Any] | None = None
    """What the result must contain."""
    prompt: bool = False
    """Whether nothing but a fault can hold it up."""


@dataclass(frozen=True)
class Accepted:
    """A job that was answered with 202."""

    job_id: str
    wanted: Wanted
    at: float = 0.0
    """Of the loop's clock."""


@dataclass(frozen=True)
class Seen:
    """One message as the observer got it."""

    envelope: Envelope | None
    """None for what is no message of ours."""
    headers: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(cls, headers: Mapping[str, Any], body: bytes) -> "Seen":
        try:
            envelope = Envelope.from_headers(dict(headers))
        except ValidationError:
            envelope = None
        return cls(envelope, dict(headers), body)


class Ending(NamedTuple):
    """Everything of a finished job that must never change again, short of a replay."""

    generation: int
    order: int
    status: str
    finished_at: Any
    result: Any
    error: Any

    @classmethod
    def of(cls, row: Row) -> "Ending":
        found = (row.get(name) for name in ("finished_at", "result", "error"))
        return cls(row["generation"], row["order"], row["status"], *found)


@dataclass
class History:
    accepted: list[Accepted] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    """How often each status answered a submission."""
    messages: list[Seen] = field(default_factory=list)
    """In the order in which the broker routed them."""
    jobs: dict[str, Row] = field(default_factory=dict)
    """The projection at the end."""
    endings: dict[str, list[Ending]] = field(default_factory=dict)
    """Every ending that a job was seen with, one after the other."""
    listed: Counter[str] = field(default_factory=Counter)
    """How often `GET /v1/jobs` shows each job, over all pages."""
    letters: list[Row] = field(default_factory=list)
    leases: list[Row] = field(default_factory=list)
    epochs: dict[str, list[int]] = field(default_factory=dict)
    """Those that a job's lease was seen with, one after the other."""
    poison: int = 0
    """Messages sent that are none of ours: each must become one letter."""
    told: set[str] = field(default_factory=set)
    """Jobs whose end a webhook has heard of."""
    left: dict[str, int] = field(default_factory=dict)
    """Messages in each queue after every process had stopped."""
