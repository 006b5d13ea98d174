"""`millrace run`: a program in the sandbox, whose output is seen while it runs."""

import sys
from collections import Counter
from pathlib import Path

import typer

from millrace.client import Client
from millrace.output import say
from millrace.stack.errors import StackError
from schemas.execution import Stream
from schemas.jobs.code_run import CodeRan
from schemas.resources import Job

_STREAMS = {Stream.STDOUT: sys.stdout, Stream.STDERR: sys.stderr}


def watched(client: Client, job: Job) -> Job:
    """Print what the program of a job writes, until it has ended."""
    printed: Counter[str] = Counter()
    ended = job
    for event in client.output(job.id):
        if event.type == "started":
            if printed:
                _print(Stream.STDERR, "\n--- the worker was lost: it runs again from the beginning\n")
            printed.clear()
        elif event.type in set(Stream):
            _print(Stream(event.type), event.data["text"])
            printed[event.type] += len(event.data["text"])
        elif event.type == "ended":
            ended = Job.model_validate(event.data)
    if ended.status == "succeeded":
        for stream in Stream:
            _print_rest(client, ended, stream, printed[stream.value])
    return ended


def _print_rest(client: Client, job: Job, stream: Stream, printed: int) -> None:
    """What live output left out, because it had become long or Redis was away."""
    text = str((job.result or {}).get(stream.value, ""))
    if (job.result or {}).get(f"{stream.value}_file"):
        text = client.code.output(job.id, stream)
    _print(stream, text[printed:])


def _print(stream: Stream, text: str) -> None:
    file = _STREAMS[stream]
    file.write(text)
    file.flush()


def given(files: list[str]) -> dict[str, Path]:
    """`PATH` or `NAME=PATH`, where the program finds it under NAME. Raises StackError."""
    found = {}
    for each in files:
        name, _, path = each.rpartition("=")
        found[name or Path(path).name] = Path(path)
    if absent := [str(path) for path in found.values() if not path.is_file()]:
        raise StackError(f"no file {', '.join(absent)}")
    return found


def concluded(client: Client, job: Job, into: Path | None) -> None:
    """Say how it ended, save what it left, and end with its exit status."""
    if job.status != "succeeded":
        raise StackError(job.error.detail if job.error else f"job {job.id} is {job.status}")
    ran = CodeRan.model_validate(job.result)
    for diagnostic in ran.diagnostics:
        typer.echo(f"note: {diagnostic.place}{diagnostic.message}", err=True)
    for reason in ran.refused:
        typer.echo(f"note: not taken: {reason}", err=True)
    for artifact in ran.artifacts:
        if into is None:
            typer.echo(f"left: {artifact.name}, {artifact.file.bytes:,} bytes; --into DIR saves it", err=True)
        else:
            saved = _saved(client, job.id, artifact.name, into)
            say(f"saved {saved}")
    if ran.outcome != "ok":
        raise typer.Exit(ran.exit_code if ran.exit_code else 128 + (ran.signal or 9))


def _saved(client: Client, id: str, name: str, into: Path) -> Path:
    """Below `into`, whatever the name says. Raises StackError."""
    path = (into / name).resolve()
    if not path.is_relative_to(into.resolve()):
        raise StackError(f"the program left a file named {name!r}, which would be saved outside {into}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(client.code.artifact(id, name))
    return path
