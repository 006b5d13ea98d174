"""`task.run`: inputs, and what a user's task makes of them."""

from typing import Annotated

from pydantic import Field, JsonValue

from schemas.code import Diagnostic
from schemas.contract import Contract
from schemas.execution import Ending, Usage
from schemas.kinds import JobKind
from schemas.patterns import Id, VersionId
from schemas.values import StorableJson

MAX_INPUTS = 1_000

TaskId = Id
TaskVersionId = VersionId


class RunTask(Contract, name="task.run"):
    """Run a user's task on inputs, in the sandbox. One process loads the model once and does them all."""

    task_id: TaskId
    version: TaskVersionId
    inputs: Annotated[list[StorableJson], Field(min_length=1, max_length=MAX_INPUTS)]
    """Each must fit the task's input schema."""
    expected: Annotated[list[StorableJson], Field(max_length=MAX_INPUTS)] | None = None
    """One for each input, to be compared with what comes out."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 60
    """Of all inputs together, loading included."""
    memory_mb: Annotated[int, Field(ge=16, le=1024 * 1024)] = 2048
    processes: Annotated[int, Field(ge=1, le=4096)] = 64
    output_bytes: Annotated[int, Field(ge=1, le=64 * 1024 * 1024)] = 1024 * 1024
    disk_mb: Annotated[int, Field(ge=1, le=1024 * 1024)] = 256


class TaskOutput(Contract):
    """What came of one input."""

    output: JsonValue = None
    error: str | None = None
    """Why there is no output, or none that fits the task's output schema."""
    matches: bool | None = None
    """Whether it is what was expected, where something was; numbers within a thousandth."""


class TaskRan(Contract, name="task.ran"):
    """One output or error for each input, in order, and how the program ended."""

    task_id: str
    version: str
    outcome: Ending
    """Other than `ok` when the program itself failed; then inputs may be left undone."""
    outputs: list[TaskOutput]
    valid: bool
    """Whether every input has an output that fits, and is what was expected."""
    stdout: str
    stderr: str
    exit_code: int | None
    signal: int | None
    load_s: float | None
    """Seconds until tokenizer and model were there."""
    usage: Usage
    diagnostics: list[Diagnostic]
    tier: str


TASK_RUN = JobKind(RunTask, TaskRan)
