"""`millrace tasks`: add, find, run, fork."""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from millrace import task_files
from millrace.client import Client, ProblemError
from millrace.following import followed, succeeded
from millrace.output import AsJson, console, open_client, print_json, say
from millrace.stack.errors import StackError
from schemas.jobs.task_run import TaskRan
from schemas.resources import Job
from schemas.tasks import TaskDraft

app = typer.Typer(help="Tasks: code of your own around a model.", no_args_is_help=True)

Version = Annotated[str | None, typer.Option(help="A version or its number; the latest when left out.")]


@app.command(name="ls")
def list_tasks(
    text: Annotated[str | None, typer.Argument(help="Text in name or description.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only with this tag.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only your own.")] = False,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List tasks of yours and public ones, last changed first."""
    with open_client() as client:
        found = list(islice(client.tasks.find(text, tag=tag, mine=mine, page_size=min(limit, 200)), limit))
    if as_json:
        print_json([task.model_dump(mode="json") for task in found])
        return
    table = Table("Name", "What it does", "Tags", "Uses", "Id", box=None)
    for task in found:
        first = task.description.partition("\n")[0]
        table.add_row(escape(task.name), escape(first), ", ".join(task.tags), str(task.uses), task.id)
    console.print(table)


@app.command()
def show(
    task: str,
    version: Version = None,
    into: Annotated[Path | None, typer.Option(help="Write it to this folder, as `add` reads it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a task with its code."""
    with open_client() as client:
        found = client.tasks.get(task, version)
    if as_json:
        print_json(found)
        return
    if into is not None:
        task_files.write(found, into)
        say(f"{found.name}, version {found.version.number}: {into}")
        return
    content = found.version.content
    which = f"version {found.version.number} ({found.version.version})"
    say(f"{found.name}, {which}, {found.visibility}: {found.uses} uses")
    say(f"  {found.description}")
    for ancestor in reversed(found.lineage):
        say(f"  from {ancestor.name}, version {ancestor.number}, of {ancestor.principal}")
    say(f"  model: {content.model or 'none'}; packages: {content.packages}")
    say(f"  example: {json.dumps(content.example.input)} gives {json.dumps(content.example.output)}")
    for part, code in content.code.model_dump(exclude_none=True).items():
        say(f"\n# {part}.py\n{code.rstrip()}")


@app.command()
def add(
    folder: Annotated[Path, typer.Argument(help="With task.json and function.py; see docs/guides/tasks.md.")],
    as_json: AsJson = False,
) -> None:
    """Add the task in a folder, or a new version of it, and run its example."""
    draft = task_files.read(folder)
    with open_client() as client:
        job = _added(client, draft, quiet=as_json)
        found = client.tasks.get(draft.name)
    if as_json:
        print_json(found)
    else:
        _conclude(job, f"{found.name}, version {found.version.number}: its example")


@app.command()
def examples() -> None:
    """Add the tasks that Millrace brings along, and run the example of each."""
    with open_client() as client:
        for draft in task_files.examples():
            _conclude(_added(client, draft, quiet=False), draft.name)


@app.command()
def run(
    task: str,
    inputs: Annotated[str, typer.Argument(help="One input as JSON, or an array of them with --batch; `-` reads it.")],
    batch: Annotated[bool, typer.Option("--batch", help="The array holds the inputs.")] = False,
    version: Version = None,
    timeout_s: Annotated[float | None, typer.Option("--timeout", help="Seconds for all inputs together.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a task and print its outputs, a line of JSON each."""
    try:
        given = json.loads(sys.stdin.read() if inputs == "-" else inputs)
    except ValueError as error:
        raise StackError(f"the input is not JSON: {error}") from None
    if batch and not isinstance(given, list):
        raise StackError("with --batch give an array of inputs")
    limits = {} if timeout_s is None else {"timeout_s": timeout_s}
    with open_client() as client:
        job = client.tasks.run(task, given if batch else [given], version=version, wait=1, **limits)
        ran = _ran(succeeded(followed(client, job, quiet=as_json)))
    if as_json:
        print_json(ran)
        return
    for each in ran.outputs:
        print_line(each.output if each.error is None else {"error": each.error})
    for diagnostic in ran.diagnostics:
        typer.echo(f"note: {diagnostic.place}{diagnostic.message}", err=True)
    if not ran.valid:
        typer.echo(ran.stderr, err=True, nl=False)
        raise typer.Exit(1)


@app.command()
def fork(
    task: str,
    name: Annotated[str, typer.Argument(help="Of your own.")],
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Make a task of your own from another."""
    with open_client() as client:
        made = client.tasks.fork(task, name, version)
    if as_json:
        print_json(made)
    else:
        origin = made.lineage[-1]
        say(f"{made.name}, from {origin.name}, version {origin.number}: millrace tasks show {made.name} --into DIR")


@app.command()
def rm(task: str, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Forget a task with all versions."""
    if not yes and not typer.confirm(f"Forget {task} with all versions?", err=True):
        raise typer.Exit(1)
    with open_client() as client:
        client.tasks.delete(task)
    say(f"{task} is forgotten")


def print_line(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def _added(client: Client, draft: TaskDraft, *, quiet: bool) -> Job:
    """The job that ran its example."""
    try:
        client.tasks.add(draft)
    except ProblemError as error:
        if error.status != 409:
            raise
        client.tasks.change(
            draft.name,
            content=draft.content,
            description=draft.description,
            tags=draft.tags,
            visibility=draft.visibility,
        )
    return succeeded(followed(client, client.tasks.validate(draft.name, wait=1), quiet=quiet))


def _conclude(job: Job, what: str) -> None:
    ran = _ran(job)
    (found,) = ran.outputs
    if ran.valid:
        say(f"{what} works, in {ran.usage.wall_s:.1f} s")
        return
    typer.echo(ran.stderr, err=True, nl=False)
    raise StackError(f"{what}: {found.error or f'{json.dumps(found.output)} came out, not what it says'}")


def _ran(job: Job) -> TaskRan:
    return TaskRan.model_validate(job.result)
