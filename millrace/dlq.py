"""`millrace dlq`: find dead letters, understand them, mend them, bring them back."""

import functools
import inspect
import json
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax

from millrace import dlq_view
from millrace.client import Client
from millrace.output import AsJson, console, json_object, open_client, print_json, say
from millrace.stack.errors import StackError
from schemas.dead_letters import DeadLetter, LetterFilter
from schemas.jobs.dead_letters_replay import LettersReplayed
from schemas.resources import Job

app = typer.Typer(help="Dead letters: find, understand, mend, replay, discard.", no_args_is_help=True)

_LOOK_EVERY_S = 0.3

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option(min=1)]
State = Annotated[str, typer.Option(help="open, replayed, discarded or all.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Letters; without them, those that the options select.")]

_Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"], help="In UTC.")]
_FILTER: dict[str, Any] = {
    "group": Annotated[str | None, typer.Option(help="Only this group: a fingerprint.")],
    "kind": Annotated[str | None, typer.Option(help="Only commands of this kind.")],
    "reason": Annotated[str | None, typer.Option(help="exhausted, undecodable, runtime-fault or kills-worker.")],
    "queue": Annotated[str | None, typer.Option(help="Only from this queue.")],
    "job": Annotated[str | None, typer.Option(help="Only of this job.")],
    "version": Annotated[str | None, typer.Option(help="Only those that died under this code version.")],
    "after": _Moment,
    "before": _Moment,
    "search": Annotated[str | None, typer.Option("--search", "-q", help="Text in error or traceback.")],
}
_FIELD_OF = {
    "group": "fingerprint",
    "job": "job_id",
    "version": "code_version",
    "after": "died_after",
    "before": "died_before",
    "search": "q",
}


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that select letters; it receives them as one filter, `wanted`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {_FIELD_OF.get(name, name): given.pop(name) for name in _FILTER}
        for name in ("died_after", "died_before"):
            options[name] = options[name] and options[name].replace(tzinfo=UTC)
        fields = {name: value for name, value in options.items() if value is not None}
        if given.get("ids"):
            fields["ids"] = given["ids"]
        command(wanted=LetterFilter.model_validate(fields), **given)

    own = [p for name, p in inspect.signature(command).parameters.items() if name != "wanted"]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _FILTER.items()
    ]
    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters = [*keyword_only, *options]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


@app.command(name="list")
@_selecting
def list_letters(wanted: LetterFilter, state: State = "open", limit: Limit = 20, as_json: AsJson = False) -> None:
    """List letters, newest first."""
    with open_client() as client:
        found = list(islice(client.dead_letters.find(wanted, state=state, page_size=min(limit, 200)), limit))
    if as_json:
        print_json([letter.model_dump(mode="json") for letter in found])
    else:
        console.print(dlq_view.letters(found))


@app.command()
@_selecting
def groups(wanted: LetterFilter, state: State = "open", as_json: AsJson = False) -> None:
    """Group letters by exception and place, and say what is new since the last version."""
    with open_client() as client:
        found = client.dead_letters.groups(wanted, state=state)
    if as_json:
        print_json(found)
    else:
        dlq_view.show_groups(found, console)


@app.command()
def show(id: str, as_json: AsJson = False) -> None:
    """Show one letter: why, where, every attempt, the traceback, what it held."""
    with open_client() as client:
        found = client.dead_letters.get(id)
    if as_json:
        print_json(found)
    else:
        dlq_view.show_letter(found, console)


@app.command()
@_selecting
def replay(
    wanted: LetterFilter,
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="Every open letter.")] = False,
    rate: Annotated[float | None, typer.Option(help="Letters per second at most.")] = None,
    canary: Annotated[
        int | None, typer.Option(help="Replay so many first, and stop when one of them fails again.")
    ] = None,
    canary_timeout_s: Annotated[
        float | None, typer.Option("--canary-timeout", help="Seconds until the canaries must have ended.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be replayed.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and return.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Bring letters back to the queues they came from, and follow how it goes. Exit status 1 if letters are left."""
    _check_choice(wanted, ids, everything)
    with open_client() as client:
        preview = client.dead_letters.preview(wanted)
        if dry_run or not preview.count:
            print_json(preview) if as_json else dlq_view.show_preview(preview, console)
            return
        if not (yes or as_json):
            dlq_view.show_preview(preview, console)
        _ask(f"Replay {dlq_view.counted(preview.count, 'letter')}?", yes=yes)
        job = client.dead_letters.replay(wanted, rate=rate, canary=canary, canary_timeout_s=canary_timeout_s)
        if not detach:
            job = _followed(client, job, preview.count, quiet=as_json)
    print_json(job) if as_json else dlq_view.show_replay(job, console)
    if job.status.terminal and (job.result is None or _result(job).left):
        raise typer.Exit(1)


@app.command()
def edit(
    id: str,
    params: Annotated[
        str | None, typer.Option(help="The new parameters as JSON, or `-` for standard input; else $EDITOR opens.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only validate and show the difference.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give a letter other parameters for its replay: validated, shown as a difference, the original kept."""
    with open_client() as client:
        letter = client.dead_letters.get(id)
        wanted = json_object(params) if params is not None else _from_editor(letter)
        seen = client.dead_letters.edit(id, wanted, revision=letter.revision, dry_run=True)
        if not as_json:
            _show_diff(seen.diff)
        if not dry_run:
            _ask("Keep this?", yes=yes)
            seen = client.dead_letters.edit(id, wanted, revision=letter.revision)
            if not as_json:
                say(f"edited; `millrace dlq replay {id}` brings it back")
    if as_json:
        print_json(seen)


@app.command()
@_selecting
def discard(
    wanted: LetterFilter,
    because: Annotated[str, typer.Option(help="Why; it is kept with each letter.")],
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="Every open letter.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give letters up for good. Their jobs stay dead; the letters stay readable."""
    _check_choice(wanted, ids, everything)
    with open_client() as client:
        count = client.dead_letters.discard(wanted, reason=because, dry_run=True)
        if count and not dry_run:
            _ask(f"Discard {dlq_view.counted(count, 'letter')}?", yes=yes)
            count = client.dead_letters.discard(wanted, reason=because)
    if as_json:
        print_json({"count": count, "dry_run": dry_run})
    else:
        say(f"{dlq_view.counted(count, 'letter')} {'to discard' if dry_run else 'discarded'}")


@app.command()
def audit(
    target: Annotated[str | None, typer.Argument(help="A letter, or the job of a replay.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show who did what to the dead letters, newest first."""
    with open_client() as client:
        found = list(islice(client.dead_letters.audit(target, page_size=min(limit, 200)), limit))
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in found])
    else:
        console.print(dlq_view.audit(found))


def _check_choice(wanted: LetterFilter, ids: list[str] | None, everything: bool) -> None:
    """All letters at once is too much to happen by leaving an option out."""
    chosen = bool(ids) or wanted != LetterFilter()
    if chosen == everything:
        raise StackError("say which letters: ids, options such as --group and --kind, or --all")


def _ask(question: str, *, yes: bool) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _followed(client: Client, job: Job, count: int, *, quiet: bool) -> Job:
    columns = (
        TextColumn("letters"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("", total=count)
        while not job.status.terminal:
            time.sleep(_LOOK_EVERY_S)
            job = client.get(job.id)
            if job.progress is not None:
                waiting = job.progress.message if "canaries" in job.progress.message else ""
                progress.update(bar, completed=round(job.progress.fraction * count), description=waiting)
        if job.result is not None:
            progress.update(bar, completed=_result(job).replayed, description="")
    return job


def _result(job: Job) -> LettersReplayed:
    return LettersReplayed.model_validate(job.result)


def _from_editor(letter: DeadLetter) -> dict[str, Any]:
    """What the operator leaves in the editor, of the parameters as they stand."""
    shown = letter.edit.params if letter.edit else _original_params(letter)
    before = json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
    with tempfile.NamedTemporaryFile("w+", suffix=".json") as draft:
        draft.write(before)
        draft.flush()
        command = [*shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"), draft.name]
        if subprocess.run(command, check=False).returncode:  # noqa: S603  # the operator's own editor
            raise StackError(f"{command[0]} failed: nothing was changed")
        after = Path(draft.name).read_text()  # by name: editors put a new file in its place
    if after == before:
        raise StackError("nothing was changed")
    return json_object(after)


def _original_params(letter: DeadLetter) -> Any:
    try:
        return json.loads(letter.body or "")
    except ValueError:
        text = f"{letter.id} holds no JSON to start from: pass the whole parameters with --params"
        raise StackError(text) from None


def _show_diff(diff: str) -> None:
    if not diff:
        say("no difference to the original")
    elif console.is_terminal:
        console.print(Syntax(diff, "diff", background_color="default"))
    else:
        typer.echo(diff, nl=False)
