"""`code.run`: a program of a user. Whatever the program does is a result; only faults of our own are tried again."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from consumers.execution.given import given_files
from consumers.execution.hints import hints
from consumers.execution.quota import limits_of
from consumers.execution.sandbox.ports import Artifact, Program
from consumers.execution.settings import ExecutionSettings
from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import Reject, RetryLater
from producers.lint import lint
from schemas.code import Diagnostic, Produced, Severity
from schemas.execution import Stream
from schemas.files import StoredFile
from schemas.jobs.code_run import CODE_RUN, CodeRan, RunCode
from storage.blobs import BlobStore, BlobUnavailable

if TYPE_CHECKING:
    from consumers.execution.resources import Execution

_MOST_ARTIFACTS = 200
_MOST_NAMES = 64 * 1024  # bytes of artifact names in a result, as JSON: see MOST_SHOWN
_MOST_REFUSED, _REASON_CHARACTERS = 30, 200


@handles(CODE_RUN, prefetch=ExecutionSettings().slots)
async def run_code(task: Task[RunCode], execution: "Execution") -> CodeRan:
    """Raises Reject for code that cannot be compiled, for more than the quota, and for files that are not there."""
    params, envelope, blobs = task.params, task.envelope, execution.services.outbox.blobs
    limits = limits_of(params, execution.settings)
    diagnostics = checked(lint(params.code, params.packages, execution.lint))
    try:
        with tempfile.TemporaryDirectory(prefix="millrace-code-") as scratch:
            files, artifacts = Path(scratch) / "files", Path(scratch) / "artifacts"
            files.mkdir()
            artifacts.mkdir()
            given = await given_files(params.files, envelope.principal, files, execution.services)
            program = Program(params.code, params.packages, limits, params.stdin.encode(), given)
            ran = await execution.run(envelope, program, artifacts)
            ended = ran.ended
            kept, left_out = await _kept(ended.artifacts, blobs)
            output = ran.output
            return CodeRan(
                outcome=ended.ending,
                exit_code=ended.exit_code,
                signal=ended.signal,
                stdout=output.shown(Stream.STDOUT),
                stderr=output.shown(Stream.STDERR),
                stdout_truncated=output.truncated(Stream.STDOUT, ended),
                stderr_truncated=output.truncated(Stream.STDERR, ended),
                stdout_file=await output.file(Stream.STDOUT, blobs),
                stderr_file=await output.file(Stream.STDERR, blobs),
                artifacts=kept,
                refused=[reason[:_REASON_CHARACTERS] for reason in (*ended.refused, *left_out)][:_MOST_REFUSED],
                usage=ended.usage,
                diagnostics=[*diagnostics, *hints(ended, limits)],
                tier=ran.tier,
            )
    except BlobUnavailable as error:
        raise RetryLater(str(error)) from error


def checked(found: Sequence[Diagnostic], pointer: str = "/params/code") -> Sequence[Diagnostic]:
    """The warnings. Raises Reject for what cannot or may not run."""
    errors = [each for each in found if each.severity is Severity.ERROR]
    if errors:
        raise Reject("; ".join(f"{pointer}: {each.place}{each.message}" for each in errors[:5]))
    return found


async def _kept(artifacts: Sequence[Artifact], blobs: BlobStore) -> tuple[list[Produced], list[str]]:
    """What is in the blob store now, and why the rest is not. Raises BlobUnavailable."""
    kept, left_out, names = list[Produced](), list[str](), 0
    for artifact in artifacts:
        names += 6 * len(artifact.name)
        if len(kept) >= _MOST_ARTIFACTS or names > _MOST_NAMES:
            left_out.append(f"{artifact.name}: one of more files than a result can name")
            continue
        written = await blobs.put_file(artifact.path)
        kept.append(Produced(name=artifact.name, file=StoredFile(sha256=written.sha256, bytes=written.bytes)))
    return kept, left_out
