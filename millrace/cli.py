"""The `millrace` command."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, NoReturn

import httpx
import typer
from pydantic import BaseModel, JsonValue, ValidationError
from rich.console import Console

from millrace import demo
from millrace.client import Client, ProblemError
from millrace.stack import commands, view
from millrace.stack.errors import StackError
from millrace.stack.layout import DEFAULT_POOLS, layout
from millrace.stack.settings import StackSettings
from millrace.stack.state import StackRecord
from millrace.stack.supervisor import Supervisor

app = typer.Typer(help="Millrace: jobs for machine learning.", no_args_is_help=True, pretty_exceptions_enable=False)
topology_app = typer.Typer(help="What exists on the broker.", no_args_is_help=True)
app.add_typer(topology_app, name="topology")

# Output that is not for a terminal has no width: a table must not be cut to one.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when ready, go on in the background.")
    ] = False,
    pools: Annotated[
        str, typer.Option(envvar="MILLRACE_POOLS", help="A process each; pools that share one are joined by `+`.")
    ] = DEFAULT_POOLS,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds until it must be ready.")] = 300.0,
    echo: Annotated[bool, typer.Option(hidden=True)] = True,
) -> None:
    """Start the local stack: RabbitMQ, Redis, the store, the gateway and the pools."""
    settings, processes = StackSettings(), layout(pools)
    with commands.only_supervisor(settings) as alone:
        if alone and not detach:
            # aiormq logs each refused connection; the probe's own verdict says it once.
            logging.getLogger("aiormq").setLevel(logging.CRITICAL)
            supervisor = Supervisor(settings, processes, say=_say)
            asyncio.run(commands.supervise(supervisor, settings, _show, echo=echo))
            return
    if alone:
        _show(commands.detach(settings, ["--pools", pools], timeout_s))
    else:
        _show(commands.wait_ready(settings, timeout_s, ended=lambda: not commands.supervised(settings)))


@app.command()
def down() -> None:
    """Stop the local stack; its data stays."""
    stopped = commands.down(StackSettings())
    _say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the processes of the local stack. Exit status 1 when it does not run."""
    record = commands.running(StackSettings())
    if as_json:
        _print_json(view.as_json(record) if record else {"running": False})
    elif record:
        _show(record)
    if record is None:
        if not as_json:
            raise StackError("the stack is not running: start it with `millrace up`")
        raise typer.Exit(1)


@app.command(name="logs")
def logs_command(
    name: Annotated[str | None, typer.Argument(help="One process; all of them when left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they grow.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of each to begin with.")] = 20,
) -> None:
    """Show the logs of the local stack's processes."""
    commands.show_logs(StackSettings(), name, lines=lines, follow=follow)


@app.command()
def setup() -> None:
    """Declare what the broker and the store must hold. Idempotent."""
    from storage import database

    topology_apply()
    with _server_errors():
        asyncio.run(database.apply(_server("MONGODB_URL")))


@topology_app.command("apply")
def topology_apply() -> None:
    """Declare every exchange, queue and binding."""
    from messaging import topology

    with _server_errors():
        asyncio.run(topology.apply(_server("RABBITMQ_URL")))


@topology_app.command("check")
def topology_check() -> None:
    """Print what is missing or different on the broker. Exit status 1 when anything is."""
    from messaging import topology

    with _server_errors():
        drift = asyncio.run(topology.check(_server("RABBITMQ_URL")))
    for line in drift:
        _say(line)
    if drift:
        raise typer.Exit(1)


@app.command()
def submit(
    kind: str,
    params: Annotated[str, typer.Argument(help="The job's parameters as a JSON object, or `-` for standard input.")],
    wait: Annotated[float | None, typer.Option(min=0, help="Seconds to wait for the outcome.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same job.")] = None,
) -> None:
    """Request a job and print it."""
    with _client() as client:
        _print_json(client.submit(kind, _json_object(params), wait=wait, idempotency_key=idempotency_key))


@app.command()
def job(
    id: str,
    wait: Annotated[float | None, typer.Option(min=0, help="Seconds to wait for the outcome.")] = None,
) -> None:
    """Print a job."""
    with _client() as client:
        _print_json(client.get(id, wait=wait))


@app.command()
def jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with _client() as client:
        found = list(islice(client.list(status=status, kind=kind, page_size=min(limit, 100)), limit))
    if as_json:
        _print_json([job.model_dump(mode="json") for job in found])
    else:
        console.print(view.jobs_table(found))


@app.command(name="demo")
def demo_command() -> None:
    """Embed a few hundred real paragraphs through the running stack and search them by meaning."""
    with _client() as client:
        demo.run(client, console)


def main() -> None:
    """Every expected failure is one line on standard error, with what to do about it."""
    try:
        app()
    except StackError as error:
        if error.detail:
            complaints.print(error.detail, style="dim", markup=False)
        _fail(str(error))
    except ProblemError as error:
        for field in error.problem.errors or []:
            typer.echo(f"{field.pointer}: {field.detail}", err=True)
        _fail(str(error))
    except httpx.TransportError as error:
        _fail(f"cannot reach the gateway ({error}): is it running? See `millrace status`, or set MILLRACE_URL")
    except ValidationError as error:
        first = error.errors()[0]
        _fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _fail(message: str) -> NoReturn:
    complaints.print("[bold red]error:[/] ", end="")
    complaints.print(message, markup=False)
    sys.exit(1)


def _say(message: str) -> None:
    console.print(message, markup=False)


def _show(record: StackRecord) -> None:
    console.print()
    console.print(view.as_table(record))
    console.print()
    console.print(view.addresses(record))
    console.print()


def _print_json(value: BaseModel | object) -> None:
    data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(data, indent=2, ensure_ascii=False)
    console.print_json(text) if console.is_terminal else typer.echo(text)


def _json_object(text: str) -> dict[str, JsonValue]:
    try:
        value = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise StackError(f"the parameters are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise StackError("the parameters must be a JSON object, like '{\"payload\": {}}'")
    return value


def _client() -> Client:
    """For the gateway that the environment names, else for the stack that runs here."""
    url, key = os.environ.get("MILLRACE_URL"), os.environ.get("MILLRACE_API_KEY")
    record = commands.running(StackSettings()) if url is None else None
    return Client(url or (record.api_url if record else None), key or (record.api_key if record else None))


def _server(variable: str) -> str:
    """The URL in the environment, else that of the stack that runs here."""
    record = commands.running(StackSettings())
    url = os.environ.get(variable) or (record.environment.get(variable) if record else None)
    if url is None:
        raise StackError(f"set {variable}, or start the stack with `millrace up`")
    return url


@contextmanager
def _server_errors() -> Iterator[None]:
    """Whatever the broker or the store has against it, in one line."""
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    try:
        yield
    except StackError:
        raise
    except Exception as error:
        raise StackError(f"{type(error).__name__}: {error}") from error
