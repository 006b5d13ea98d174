"""The `millrace` command."""

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, NoReturn

import httpx
import typer
from pydantic import ValidationError

from millrace import datasets_cli, demo, dlq, models_cli, notifications_cli, running, subscriptions_cli, tasks_cli
from millrace import doctor as diagnosis
from millrace import why as explanations
from millrace.client import ProblemError
from millrace.following import followed
from millrace.output import AsJson, complaints, console, json_object, open_client, print_json, say
from millrace.servers import known, server, server_errors
from millrace.stack import commands, view
from millrace.stack.errors import StackError
from millrace.stack.layout import DEFAULT_POOLS, layout
from millrace.stack.settings import StackSettings
from millrace.stack.state import StackRecord
from millrace.stack.supervisor import Supervisor
from schemas.execution import Packages

app = typer.Typer(help="Millrace: jobs for machine learning.", no_args_is_help=True, pretty_exceptions_enable=False)
topology_app = typer.Typer(help="What exists on the broker.", no_args_is_help=True)
app.add_typer(topology_app, name="topology")
app.add_typer(datasets_cli.app, name="datasets")
app.add_typer(models_cli.app, name="models")
app.add_typer(tasks_cli.app, name="tasks")
app.add_typer(dlq.app, name="dlq")
app.add_typer(subscriptions_cli.app, name="subscriptions")
app.add_typer(notifications_cli.webhooks, name="webhooks")
app.add_typer(notifications_cli.notifications, name="notifications")


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
            supervisor = Supervisor(settings, processes, say=say)
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
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the processes of the local stack. Exit status 1 when it does not run."""
    record = commands.running(StackSettings())
    if as_json:
        print_json(view.as_json(record) if record else {"running": False})
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
    with server_errors():
        asyncio.run(database.apply(server("MONGODB_URL")))


@topology_app.command("apply")
def topology_apply() -> None:
    """Declare every exchange, queue and binding."""
    from messaging import topology

    with server_errors():
        asyncio.run(topology.apply(server("RABBITMQ_URL")))


@topology_app.command("check")
def topology_check() -> None:
    """Print what is missing or different on the broker. Exit status 1 when anything is."""
    from messaging import topology

    with server_errors():
        drift = asyncio.run(topology.check(server("RABBITMQ_URL")))
    for line in drift:
        say(line)
    if drift:
        raise typer.Exit(1)


@app.command()
def verify(
    rebuild: Annotated[
        bool, typer.Option(help="First tell the ledger of every job that broker and stores still hold.")
    ] = False,
    settle_s: Annotated[
        float, typer.Option("--settle", min=0, help="Seconds to wait for a verdict while things move.")
    ] = 15.0,
    as_json: AsJson = False,
) -> None:
    """Prove that every accepted job has ended or is held, or name those that are not. Exit status 1 unless proven."""
    from millrace import verify as verification

    environment = {name: server(name) for name in ("RABBITMQ_URL", "MONGODB_URL")}
    environment |= {name: url for name in ("REDIS_URL", "BLOB_URL") if (url := known(name)) is not None}
    with server_errors():
        report, rebuilt = verification.run(environment, settle_s, rebuild=rebuild)
    if as_json:
        print_json(report.as_json() | {"rebuilt": rebuilt})
    else:
        verification.show(report, rebuilt, console)
    if report.verdict != "conserved":
        raise typer.Exit(1)


@app.command()
def submit(
    kind: str,
    params: Annotated[str, typer.Argument(help="The job's parameters as a JSON object, or `-` for standard input.")],
    wait: Annotated[float | None, typer.Option(min=0, help="Seconds to wait for the outcome.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same job.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask a model also what it has answered before.")] = False,
) -> None:
    """Request a job and print it."""
    with open_client() as client:
        found = client.submit(kind, json_object(params), wait=wait, idempotency_key=idempotency_key, fresh=fresh)
        print_json(found)


@app.command()
def job(
    id: str,
    wait: Annotated[float | None, typer.Option(min=0, help="Seconds to wait for the outcome.")] = None,
) -> None:
    """Print a job."""
    with open_client() as client:
        print_json(client.get(id, wait=wait))


@app.command()
def cancel(id: str, reason: Annotated[str, typer.Option(help="Stands in the job's error.")] = "") -> None:
    """Cancel a job, wherever it is, and print it."""
    with open_client() as client:
        print_json(client.cancel(id, reason))


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A Python program.")],
    stdin: Annotated[bool, typer.Option("--stdin", help="Pass standard input on to it.")] = False,
    given: Annotated[
        list[str] | None, typer.Option("--file", help="A file for it: PATH, or NAME=PATH. Several may be given.")
    ] = None,
    packages: Annotated[Packages, typer.Option(help="What it can import.")] = Packages.PLAIN,
    timeout_s: Annotated[float | None, typer.Option("--timeout", help="Seconds that it may run.")] = None,
    memory_mb: Annotated[int | None, typer.Option("--memory", help="MiB that it may use.")] = None,
    into: Annotated[Path | None, typer.Option(help="Save the files that it leaves below this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a program in the sandbox, print what it writes, and end with its exit status."""
    limits = {"timeout_s": timeout_s, "memory_mb": memory_mb}
    if not file.is_file():
        raise StackError(f"no file {file}")
    with open_client() as client:
        job = client.code.run(
            file.read_text(),
            stdin=sys.stdin.read() if stdin else "",
            files=running.given(given or []),
            packages=packages,
            **{name: value for name, value in limits.items() if value is not None},
        )
        if as_json:
            print_json(followed(client, job, quiet=True))
        else:
            running.concluded(client, running.watched(client, job), into)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what works here, what does not, and what would help. Exit status 1 when anything does not."""
    record = commands.running(StackSettings())
    environment = {**(record.environment if record else {}), **os.environ}
    found = asyncio.run(diagnosis.examine(environment))
    if as_json:
        print_json([vars(each) for each in found])
    else:
        console.print(diagnosis.table(found))
    if not all(each.ok for each in found):
        raise typer.Exit(1)


@app.command()
def finish(id: str) -> None:
    """Ask a running search to end early with the best that it has found, and print the job."""
    with open_client() as client:
        print_json(client.finish(id))


@app.command()
def watch(
    topic: Annotated[list[str], typer.Option(help="Such as 'model.train.*' or '#'; may be given again.")],
    after: Annotated[str | None, typer.Option(help="Go on behind this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what happens, as it happens, until Ctrl-C."""
    with open_client() as client, suppress(KeyboardInterrupt):
        for event in client.watch(*topic, last_event_id=after):
            if as_json:
                typer.echo(json.dumps({"id": event.id, "type": event.type, "event": event.data}))
            else:
                console.print(view.told(event), markup=False)


@app.command()
def why(id: str, as_json: AsJson = False) -> None:
    """Say why a job stands where it stands, and what happens next."""
    with open_client() as client:
        found = client.why(id)
    if as_json:
        print_json(found)
    else:
        explanations.show(found, console)


@app.command()
def jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with open_client() as client:
        found = list(islice(client.list(status=status, kind=kind, page_size=min(limit, 100)), limit))
    if as_json:
        print_json([job.model_dump(mode="json") for job in found])
    else:
        console.print(view.jobs_table(found))


@app.command(name="demo")
def demo_command() -> None:
    """Embed a few hundred real paragraphs through the running stack and search them by meaning."""
    with open_client() as client:
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


def _show(record: StackRecord) -> None:
    console.print()
    console.print(view.as_table(record))
    console.print()
    console.print(view.addresses(record))
    console.print()
