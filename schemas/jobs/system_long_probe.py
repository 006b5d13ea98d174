"""`system.long-probe`: a long job that counts, keeps checkpoints, or fails as told, for rehearsals."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.contract import Contract
from schemas.kinds import JobKind


class RunLongProbe(Contract, name="system.long-probe"):
    """Count to `steps` in a child process under a lease, going on from the last checkpoint after an interruption."""

    steps: Annotated[int, Field(ge=1, le=100_000)] = 10
    step_s: Annotated[float, Field(ge=0, le=60)] = 0.1
    """How long one step takes, in seconds."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 1
    """A checkpoint is kept after so many steps."""
    failure: Literal["none", "reject", "error", "retry-later", "halt", "kill"] = "none"
    """What happens after half of the steps: `kill` ends the child process without a word."""
    fail_attempts: Annotated[int, Field(ge=0, le=4095)] = 4095
    """The failure happens in this many attempts; the next one succeeds."""


class LongProbeAnswered(Contract, name="system.long-probe-answered"):
    """How far it counted, from where, and who answered in which attempt."""

    steps: int
    resumed_from: int
    """The step of the checkpoint that the last run started from; 0 without one."""
    attempt: int
    epoch: int
    process: int


SYSTEM_LONG_PROBE = JobKind(RunLongProbe, LongProbeAnswered)
