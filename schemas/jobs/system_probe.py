"""`system.probe`: a job that does nothing, or fails as told, for rehearsals and for measuring the path itself."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.values import JsonObject


class RunProbe(Contract, name="system.probe"):
    """Travel the whole path of a job and answer with the payload, or fail on purpose."""

    payload: Annotated[JsonObject, Field(default_factory=dict)]
    delay_s: Annotated[float, Field(ge=0, le=60)] = 0
    """How long the handler waits before it answers, in seconds."""
    failure: Literal["none", "reject", "error", "retry-later", "halt", "kill"] = "none"
    """`reject` refuses the input, `error` raises, `retry-later` asks for another attempt, `halt` pauses the pool,
    `kill` ends the worker."""
    fail_attempts: Annotated[int, Field(ge=0, le=4095)] = 4095
    """The failure happens in this many attempts; the next one succeeds."""


class ProbeAnswered(Contract, name="system.probe-answered"):
    """The payload, and who answered in which attempt."""

    payload: dict[str, JsonValue]
    attempt: int
    worker: str


SYSTEM_PROBE = JobKind(RunProbe, ProbeAnswered)
