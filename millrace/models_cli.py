"""`millrace models`: train, look at, promote, ask."""

import json
import sys
from itertools import islice
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from millrace.following import followed, succeeded
from millrace.output import AsJson, console, open_client, print_json, say
from millrace.stack.errors import StackError
from schemas.jobs.model_predict import RowsPredicted
from schemas.jobs.model_predict_dataset import DatasetPredicted
from schemas.jobs.model_train import ModelTrained
from schemas.registry import ModelComparison, ModelVersion

app = typer.Typer(help="Models: train, compare, promote, predict.", no_args_is_help=True)

_MOST_SHOWN = 40
_MOST_COLUMNS = 6

Version = Annotated[str | None, typer.Option(help="A version, its number, an alias or `latest`.")]


@app.command(name="ls")
def list_models(limit: Annotated[int, typer.Option(min=1)] = 20, as_json: AsJson = False) -> None:
    """List models, last trained first."""
    with open_client() as client:
        found = list(islice(client.models.find(page_size=min(limit, 200)), limit))
    if as_json:
        print_json([model.model_dump(mode="json") for model in found])
        return
    table = Table("Name", "Latest version", "Aliases", "Trained", "Id", box=None)
    for model in found:
        aliases = ", ".join(f"{alias}: {version}" for alias, version in model.aliases.items())
        table.add_row(escape(model.name), model.latest, aliases, f"{model.updated_at:%Y-%m-%d %H:%M}", model.id)
    console.print(table)


@app.command()
def show(model: str, version: Version = None, as_json: AsJson = False) -> None:
    """Show a model: the version that answers, or another, and what there is beside it."""
    with open_client() as client:
        versions = client.models.versions(model)
        found = client.models.get(model).version if version is None else client.models.version(model, version)
    if as_json:
        print_json(found)
        return
    _show(model, found)
    table = Table("Version", "", "Trained", found.metric, "By", "Aliases", box=None)
    for each in versions[:_MOST_SHOWN]:
        aliases = ", ".join(each.aliases) or ("archived" if each.archived_at else "")
        value = f"{each.metrics[found.metric]:.4g}" if found.metric in each.metrics else ""
        row = (str(each.number), each.version, f"{each.created_at:%Y-%m-%d %H:%M}", value, each.best_trainer, aliases)
        table.add_row(*row)
    console.print(table)


@app.command()
def train(
    dataset: Annotated[str, typer.Argument(help="A dataset, or a version of one: NAME or NAME:VERSION.")],
    target: Annotated[str, typer.Argument(help="The column to predict.")],
    name: Annotated[str | None, typer.Option(help="Of the model; DATASET-TARGET when left out.")] = None,
    trainer: Annotated[str | None, typer.Option(help="One instead of a search.")] = None,
    metric: Annotated[str | None, typer.Option(help="What to optimise.")] = None,
    budget_s: Annotated[float | None, typer.Option("--budget", help="Seconds to search.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A column that is no input.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait; print the job.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model: a new one, or a new version of one."""
    dataset, _, version = dataset.partition(":")
    given: dict[str, Any] = {"name": name, "trainer": trainer, "metric": metric, "budget_s": budget_s}
    given |= {"exclude": exclude, "seed": seed, "version": version or None}
    with open_client() as client:
        job = client.models.train(
            dataset, target, **{key: value for key, value in given.items() if value is not None}
        )
        if not detach:
            job = succeeded(followed(client, job, quiet=as_json))
            trained = ModelTrained.model_validate(job.result)
            found = client.models.version(trained.model_id, trained.version)
    if detach:
        print_json(job) if as_json else say(f"{job.id} is on its way: millrace jobs")
    elif as_json:
        print_json(found)
    else:
        _show(trained.name, found)


@app.command()
def promote(
    model: str,
    version: Annotated[str, typer.Argument(help="A version, its number, an alias or `latest`.")],
    alias: Annotated[str, typer.Option(help="Which alias shall point at it.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Let a version answer: move an alias to it."""
    with open_client() as client:
        moved = client.models.promote(model, version, alias)
    if as_json:
        print_json(moved)
    else:
        say(f"{alias}: {moved.before or 'nothing'} before, {moved.version} now")


@app.command()
def predict(
    model: str,
    rows: Annotated[str | None, typer.Argument(help="A JSON object or an array of them; `-` reads it.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Instead: every row of this, NAME or NAME:VERSION.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the dataset that this becomes.")] = None,
    version: Version = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what moved each prediction most.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model: for rows, or for every row of a dataset."""
    if (rows is None) == (dataset is None):
        raise StackError("give rows, like '{\"age\": 41}', or --dataset NAME")
    with open_client() as client:
        if dataset is not None:
            source, _, of = dataset.partition(":")
            job = client.models.predict_dataset(model, source, version=version, dataset_version=of or None, name=name)
        else:
            job = client.models.predict(model, _rows(rows or ""), version=version, explain=explain)
        result = succeeded(followed(client, job, quiet=as_json)).result or {}
    if as_json:
        print_json(result)
    elif dataset is not None:
        done = DatasetPredicted.model_validate(result)
        say(f"{done.rows:,} rows: dataset {done.predicted.name}, version {done.predicted.version}")
        for warning in done.predicted.warnings:
            say(f"  note: {warning}")
    else:
        _show_predictions(RowsPredicted.model_validate(result))


@app.command()
def compare(model: str, a: str, b: str, as_json: AsJson = False) -> None:
    """Say how two versions differ: metrics, settings, signature and data."""
    with open_client() as client:
        found = client.models.compare(model, a, b)
    if as_json:
        print_json(found)
        return
    _show_comparison(found)


@app.command()
def rm(
    model: str,
    version: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also what an alias points at.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget a model with all versions, or one of them."""
    what = f"version {version} of {model}" if version else f"{model} with all versions"
    if not yes and not typer.confirm(f"Forget {what}?", err=True):
        raise typer.Exit(1)
    with open_client() as client:
        client.models.delete(model, version, force=force)
    say(f"{what} is forgotten")


def _rows(text: str) -> list[dict[str, Any]]:
    """Raises StackError."""
    try:
        given = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise StackError(f"the rows are not JSON: {error}") from None
    rows = given if isinstance(given, list) else [given]
    if not all(isinstance(row, dict) for row in rows):
        raise StackError("each row must be a JSON object with the input columns by name")
    return rows


def _show(model: str, found: ModelVersion) -> None:
    origin, signature = found.origin, found.signature
    say(f"{model}, version {found.number} ({found.version}): {signature.task} of {signature.target}")
    say(f"  from {origin.dataset_name} {origin.dataset_version}, {origin.rows:,} rows; best: {found.best_trainer}")
    for warning in found.warnings:
        say(f"  note: {warning}")
    table = Table("Metric", "Value", "Without looking", f"by {found.estimated_by}", box=None)
    for name, value in found.metrics.items():
        without = f"{found.baseline[name]:.4g}" if name in found.baseline else ""
        table.add_row(escape(name), f"{value:.4g}", without, "optimised" if name == found.metric else "")
    console.print(table)
    say(f"  card: GET {found.links.page}")


def _show_predictions(found: RowsPredicted) -> None:
    say(f"{found.name}, version {found.version}")
    table = Table("Row", "Prediction", "Probability", "Moved most by", box=None)
    for row, prediction in enumerate(found.predictions[:_MOST_SHOWN]):
        shares = found.probabilities[row] if found.probabilities else []
        moved = found.explanations[row] if found.explanations else {}
        most = sorted(moved.items(), key=lambda each: -abs(each[1]))[:_MOST_COLUMNS]
        why = ", ".join(f"{name} {value:+.3g}" for name, value in most)
        table.add_row(str(row), escape(str(prediction)), f"{max(shares):.3f}" if shares else "", escape(why))
    console.print(table)
    for warning in found.warnings[:_MOST_SHOWN]:
        say(f"  note: row {warning.row}, {warning.column}: {warning.detail}")


def _show_comparison(found: ModelComparison) -> None:
    if not found.comparable:
        say("  note: the two were not judged on the same rows in the same way")
    table = Table("", found.a, found.b, "", box=None)
    for metric in found.metrics:
        values = ("" if value is None else f"{value:.4g}" for value in (metric.a, metric.b))
        better = {"a": "the first is better", "b": "the second is better", None: ""}[metric.better]
        table.add_row(escape(metric.name), *values, better)
    for difference in (*found.settings, *found.signature, *found.data):
        table.add_row(escape(difference.what), *(escape(_short(each)) for each in (difference.a, difference.b)), "")
    console.print(table)


def _short(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
