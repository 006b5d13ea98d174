"""`task.run`: a user's task, in the sandbox like any program. Its model's files are there to read; a process is for
one job, loads once, and does every input of it. So nothing is shared between owners, nor between two jobs of one."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from consumers.encoders.sources import find_model
from consumers.execution import harness
from consumers.execution.code_run import checked
from consumers.execution.hints import hints
from consumers.execution.quota import limits_of
from consumers.execution.sandbox.ports import Artifact, Program
from consumers.execution.settings import ExecutionSettings
from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import Reject, RetryLater
from producers.lint import lint
from producers.shapes import Fitting, alike
from schemas.code import Diagnostic
from schemas.execution import Ending, Stream
from schemas.jobs.task_run import TASK_RUN, RunTask, TaskOutput, TaskRan
from schemas.tasks import TaskContent
from schemas.values import StorableJson
from storage import tasks
from storage.database import Database, StoreUnavailable

if TYPE_CHECKING:
    from consumers.execution.resources import Execution

_PROGRAM = Path(harness.__file__).read_text()
_PARTS = ("function", "tokenizer", "model")
_MOST_BYTES = 16 * 1024 * 1024
"""Of all outputs together."""
_MOST_SHOWN = 16 * 1024  # of standard output and error: a task speaks by its outputs
_STORABLE: TypeAdapter[Any] = TypeAdapter(StorableJson)


@dataclass(frozen=True)
class _Said:
    load_s: float | None
    outputs: list[TaskOutput]


@handles(TASK_RUN, prefetch=ExecutionSettings().slots)
async def run_task(task: Task[RunTask], execution: "Execution") -> TaskRan:
    """Raises Reject for a task that is not there, inputs that do not fit it, a model that cannot be had, and for more
    than the quota."""
    params, envelope = task.params, task.envelope
    content = await _content(execution.services.database, params, envelope.principal)
    limits = limits_of(params, execution.settings)
    diagnostics = _looked_at(content, params, execution)
    await asyncio.to_thread(_require_fitting, content, params)
    mounts = {}
    if content.model is not None:
        mounts["model"] = (await asyncio.to_thread(find_model, content.model, execution.models)).path
    with tempfile.TemporaryDirectory(prefix="millrace-task-") as scratch:
        files, artifacts = Path(scratch) / "files", Path(scratch) / "artifacts"
        artifacts.mkdir()
        given = await asyncio.to_thread(_staged, content, params, files)
        program = Program(_PROGRAM, content.packages, limits, files=given, mounts=mounts)
        ran = await execution.run(envelope, program, artifacts)
        said = await asyncio.to_thread(_said, ran.ended.artifacts, content, params)
    return TaskRan(
        task_id=params.task_id,
        version=params.version,
        outcome=ran.ended.ending,
        outputs=said.outputs,
        valid=ran.ended.ending is Ending.OK and all(_is_valid(each) for each in said.outputs),
        stdout=ran.output.shown(Stream.STDOUT, _MOST_SHOWN),
        stderr=ran.output.shown(Stream.STDERR, _MOST_SHOWN),
        exit_code=ran.ended.exit_code,
        signal=ran.ended.signal,
        load_s=said.load_s,
        usage=ran.ended.usage,
        diagnostics=[*diagnostics, *hints(ran.ended, limits)],
        tier=ran.tier,
    )


async def _content(database: Database, params: RunTask, principal: str) -> TaskContent:
    """Of a task that is the principal's or public. Raises Reject, RetryLater."""
    try:
        found = await tasks.find(database, params.task_id, principal)
        version = found and await tasks.version(database, params.task_id, params.version)
    except StoreUnavailable as error:
        raise RetryLater(str(error)) from error
    if not version:
        what = f"version {params.version} of it" if found else f"task {params.task_id}"
        raise Reject(f"/params/task_id: there is no {what}", type="not-found", title="There is no such task")
    return TaskContent.model_validate_json(version["content"])


def _looked_at(content: TaskContent, params: RunTask, execution: "Execution") -> list[Diagnostic]:
    """The policy may have changed since the task was made. Raises Reject."""
    code = [text for part in _PARTS if (text := getattr(content.code, part)) is not None]
    pointer = f"/params/version: {params.version}"
    return [each for text in code for each in checked(lint(text, content.packages, execution.lint), pointer)]


def _require_fitting(content: TaskContent, params: RunTask) -> None:
    """Raises Reject."""
    fitting = Fitting(content.input_schema)
    wrong = [
        f"/params/inputs/{number}{at}: {why}"
        for number, each in enumerate(params.inputs)
        for at, why in fitting.misfits(each)
    ]
    if params.expected is not None and len(params.expected) != len(params.inputs):
        wrong.append(f"/params/expected: {len(params.expected)} for {len(params.inputs)} inputs")
    if wrong:
        raise Reject("; ".join(wrong[:5]))


def _staged(content: TaskContent, params: RunTask, folder: Path) -> dict[str, Path]:
    """The task's modules and its inputs as files."""
    folder.mkdir()
    texts = {f"task_{part}.py": getattr(content.code, part) for part in _PARTS}
    texts[harness.INPUTS] = to_json(params.inputs).decode()
    found = {name: folder / name for name, text in texts.items() if text is not None}
    for name, path in found.items():
        path.write_text(texts[name])
    return found


def _said(artifacts: Sequence[Artifact], content: TaskContent, params: RunTask) -> _Said:
    """What the program wrote, which may be anything, as an output or an error for each input."""
    artifact = next((each for each in artifacts if each.name == harness.OUTPUTS), None)
    lines: list[bytes] = []
    if artifact is not None and artifact.bytes <= _MOST_BYTES:
        lines = artifact.path.read_bytes().splitlines()
    missing = "the program ended before it came to this input"
    if artifact is not None and artifact.bytes > _MOST_BYTES:
        missing = f"the outputs are {artifact.bytes:,} bytes; together they may have {_MOST_BYTES:,}"
    head = _object(lines[0]) if lines else {}
    load_s = head.get("load_s")
    fitting = Fitting(content.output_schema)
    answers = [_object(line) for line in lines[1:]][: len(params.inputs)]
    outputs = [_output(answer, fitting) for answer in answers]
    outputs += [TaskOutput(error=missing)] * (len(params.inputs) - len(outputs))
    if params.expected is not None:
        pairs = zip(outputs, params.expected, strict=True)
        outputs = [each.model_copy(update={"matches": _matches(each, expected)}) for each, expected in pairs]
    return _Said(load_s if isinstance(load_s, float) else None, outputs)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = from_json(line, allow_inf_nan=False)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": "the program wrote over its outputs"}


def _output(answer: dict[str, Any], fitting: Fitting) -> TaskOutput:
    if "output" not in answer:
        return TaskOutput(error=str(answer.get("error"))[:3_000])
    try:
        output = _STORABLE.validate_python(answer["output"])
    except ValidationError as error:
        return TaskOutput(error=f"the output cannot be kept: {error.errors()[0]['msg']}")
    if misfits := fitting.misfits(output):
        return TaskOutput(error="; ".join(f"the output does not fit: {at or '/'}: {why}" for at, why in misfits))
    return TaskOutput(output=output)


def _matches(found: TaskOutput, expected: Any) -> bool:
    return found.error is None and alike(found.output, expected)


def _is_valid(found: TaskOutput) -> bool:
    return found.error is None and found.matches is not False
