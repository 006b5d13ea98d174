"""`millrace datasets`: upload files, see what is in them."""

import webbrowser
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from millrace.client import Client, ProblemError
from millrace.following import followed, succeeded
from millrace.output import AsJson, console, open_client, print_json, say
from reports import drift, render_comparison
from schemas.catalog import Dataset
from schemas.jobs.dataset_profile import DatasetProfiled
from schemas.profile import DatasetProfile
from schemas.resources import Job

app = typer.Typer(help="Datasets: upload, look at, profile.", no_args_is_help=True)

_MOST_SHOWN = 40

Version = Annotated[str | None, typer.Option(help="A version or its number; the latest when left out.")]
Target = Annotated[str | None, typer.Option(help="A column that is to be predicted.")]


@app.command()
def add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    name: Annotated[str | None, typer.Option(help="What to call it; the file's name when left out.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of a text table: a character, or `tab`.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file, such as `latin-1`.")] = None,
    header: Annotated[bool | None, typer.Option(help="Whether the first row names the columns.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a workbook.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a file and read it into a table: a new dataset, or a new version of one."""
    given = {"delimiter": delimiter, "encoding": encoding, "header": header, "sheet": sheet}
    hints = {key: str(value).lower() if key == "header" else str(value) for key, value in given.items() if value}
    if header is False:
        hints["header"] = "false"
    with open_client() as client:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as progress:
            bar = progress.add_task("uploading", total=file.stat().st_size)
            job = client.datasets.add(file, name, hints=hints, on_sent=lambda sent: progress.advance(bar, sent))
        job = succeeded(followed(client, job, quiet=as_json))
        found = _found(client, job)
    print_json(found) if as_json else _show(found)


@app.command(name="ls")
def list_datasets(limit: Annotated[int, typer.Option(min=1)] = 20, as_json: AsJson = False) -> None:
    """List datasets, last changed first."""
    with open_client() as client:
        found = list(islice(client.datasets.find(page_size=min(limit, 200)), limit))
    if as_json:
        print_json([dataset.model_dump(mode="json") for dataset in found])
        return
    table = Table("Name", "Latest version", "Changed", "Id", box=None)
    for dataset in found:
        table.add_row(escape(dataset.name), dataset.latest, f"{dataset.updated_at:%Y-%m-%d %H:%M}", dataset.id)
    console.print(table)


@app.command()
def show(dataset: str, version: Version = None, as_json: AsJson = False) -> None:
    """Show a dataset: its columns, and its first rows."""
    with open_client() as client:
        found = client.datasets.get(dataset, version)
        rows = client.datasets.preview(dataset, version)
    if as_json:
        print_json(found)
        return
    _show(found)
    table = Table(*map(escape, rows["columns"][:12]), box=None, title="First rows", title_justify="left")
    for row in rows["rows"][:5]:
        table.add_row(*("" if value is None else escape(str(value)[:40]) for value in row[:12]))
    console.print(table)


@app.command()
def profile(
    dataset: str,
    version: Version = None,
    target: Target = None,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    into: Annotated[Path | None, typer.Option("--into", help="Where to write the report.")] = None,
    as_json: AsJson = False,
) -> None:
    """Profile a dataset, print what stands out, and write the report."""
    with open_client() as client:
        job = client.datasets.profile(dataset, version=version, target=target)
        job = succeeded(followed(client, job, quiet=as_json))
        result = DatasetProfiled.model_validate(job.result)
        path = into or Path(f"{client.datasets.get(dataset).name}-profile.html")
        path.write_bytes(client.datasets.report(result.dataset_id, version=result.version, target=result.target))
    if as_json:
        print_json(result)
    else:
        _show_headline(result, path)
    if open_report:
        webbrowser.open(path.resolve().as_uri())


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="A dataset, or a version of one: NAME or NAME:VERSION.")],
    after: Annotated[str, typer.Argument(help="Another: a later version, or what is live.")],
    into: Annotated[Path | None, typer.Option("--into", help="Also write the comparison as a page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how much each column drifted from one table to another. Profiles that are missing are made."""
    with open_client() as client:
        found = drift.compare(*(_profile_of(client, name, quiet=as_json) for name in (before, after)))
    if into is not None:
        into.write_text(render_comparison(found))
    if as_json:
        print_json(found)
        return
    say(f"{found.before}: {found.rows_before:,} rows; {found.after}: {found.rows_after:,} rows")
    for what, names in (("added", found.added), ("removed", found.removed)):
        if names:
            say(f"  {what}: {', '.join(names)}")
    table = Table("Column", "Drift", "Missing", "", box=None)
    for each in found.drift[:_MOST_SHOWN]:
        missing = f"{each.missing_before:.1%} to {each.missing_after:.1%}"
        table.add_row(escape(each.column), f"{each.score:.3f}", missing, _band(each.score))
    console.print(table)
    if into is not None:
        say(f"report: {into}")


@app.command()
def rm(dataset: str, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Forget a dataset with its versions and profiles."""
    if not yes and not typer.confirm(f"Forget {dataset} with all versions and profiles?", err=True):
        raise typer.Exit(1)
    with open_client() as client:
        client.datasets.delete(dataset)
    say(f"{dataset} is forgotten")


def _profile_of(client: Client, reference: str, *, quiet: bool) -> DatasetProfile:
    name, _, asked = reference.partition(":")
    found = client.datasets.get(name, asked or None)
    version = found.version.version
    try:
        profile = client.datasets.profiled(found.id, version=version)
    except ProblemError as error:
        if error.status != 404:
            raise
        succeeded(followed(client, client.datasets.profile(found.id, version=version), quiet=quiet))
        profile = client.datasets.profiled(found.id, version=version)
    return profile.model_copy(update={"name": f"{found.name}, version {found.version.number}"})


def _band(score: float) -> str:
    """The usual reading of the population stability index: see schemas.profile.ColumnDrift."""
    return "shifted" if score > 0.25 else "shifting" if score > 0.1 else ""


def _found(client: Client, job: Job) -> Dataset:
    result = job.result or {}
    return client.datasets.get(str(result["dataset_id"]), str(result["version"]))


def _show(found: Dataset) -> None:
    version = found.version
    say(f"{found.name}, version {version.number} ({version.version}): {version.rows:,} rows")
    for warning in version.warnings:
        say(f"  note: {warning}")
    if version.rejected:
        say(f"  {version.rejected:,} rows could not be read: GET {found.links.rejects}")
    table = Table("Column", "Type", "Missing", box=None)
    for column in version.columns[:_MOST_SHOWN]:
        table.add_row(escape(column.name), column.type, f"{column.missing:,}" if column.missing else "")
    console.print(table)
    if len(version.columns) > _MOST_SHOWN:
        say(f"  and {len(version.columns) - _MOST_SHOWN:,} more columns")


def _show_headline(result: DatasetProfiled, path: Path) -> None:
    headline = result.headline
    say(
        f"{headline.rows:,} rows, {headline.columns:,} columns, {headline.missing_share:.1%} of cells missing, "
        f"{headline.duplicate_rows:,} duplicate rows, {headline.alerts} alerts"
    )
    for alert in headline.top_alerts:
        say(f"  - {alert}")
    say(f"report: {path}")
