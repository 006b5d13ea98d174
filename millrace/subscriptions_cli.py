"""`millrace subscriptions`: queues on the broker for services that listen to topics."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.table import Table

from millrace.output import AsJson, console, print_json, say
from millrace.servers import management_url, server, server_errors
from millrace.stack.errors import StackError

if TYPE_CHECKING:
    from messaging.subscriptions import Subscriptions

_T = TypeVar("_T")

app = typer.Typer(help="Queues for services that listen to topics.", no_args_is_help=True)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@app.command()
def create(
    topic: Annotated[list[str], typer.Option(help="Such as 'model.train.*'; may be given again.")],
    name: Annotated[str | None, typer.Option(help="Made from the topic when left out.")] = None,
    max_length: Annotated[int, typer.Option(min=1, help="Messages that wait at most.")] = 100_000,
    max_size: Annotated[str, typer.Option(help="Bytes that wait at most, such as 256MB.")] = "256MB",
    max_age: Annotated[str, typer.Option(help="How long a message waits at most, such as 7d or 12h.")] = "7d",
    as_json: AsJson = False,
) -> None:
    """Make a durable queue that gets every event of these topics; beyond a bound its oldest messages go."""
    from messaging import names
    from messaging.subscriptions import Bounds

    name = name or _named(topic[0])
    bounds = Bounds(max_length, _number(max_size, _BYTES), _number(max_age, _SECONDS))
    reader = _do(lambda subscriptions: subscriptions.create(name, topic, bounds))
    queue = names.subscription(name)
    if as_json:
        print_json({"name": name, "queue": queue, "topics": topic, "url": reader})
        return
    say(f"queue {queue}, of {', '.join(topic)}")
    if reader is None:
        say("without a user of its own, for which RABBITMQ_MANAGEMENT_URL must say where the management API is")
    else:
        say(f"to be read, and nothing else, as {reader}")
        say("the password is not shown again")


@app.command(name="ls")
def list_(as_json: AsJson = False) -> None:
    """List them, with what waits in each and who consumes."""
    found = _do(lambda subscriptions: subscriptions.all())
    if as_json:
        print_json([asdict(subscription) | {"queue": subscription.queue} for subscription in found])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAME", "TOPICS", "WAITING", "CONSUMERS", "AT MOST"):
        table.add_column(column)
    for one in found:
        bounds = f"{one.bounds.length:,} messages, {one.bounds.size:,} bytes, {one.bounds.age_s / 3600:g} h"
        table.add_row(one.name, ", ".join(one.topics), f"{one.ready:,}", str(one.consumers), bounds)
    console.print(table)


@app.command()
def rm(name: str) -> None:
    """Remove the queue, with all that waits in it, and its user."""
    _do(lambda subscriptions: subscriptions.remove(name))
    say(f"removed {name}")


def _do(what: "Callable[[Subscriptions], Coroutine[Any, Any, _T]]") -> _T:
    """Raises StackError."""
    from messaging.subscriptions import SubscriptionError, Subscriptions
    from messaging.topics import UnknownTopic

    with server_errors():
        try:
            return asyncio.run(what(Subscriptions(server("RABBITMQ_URL"), management_url())))
        except (SubscriptionError, UnknownTopic) as error:
            raise StackError(str(error)) from None


def _named(topic: str) -> str:
    words = re.findall(r"[a-z0-9-]+", topic)
    return "-".join([*words, token_hex(2)])


def _number(text: str, units: Mapping[str, int]) -> int:
    """Raises StackError."""
    found = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text.strip())
    if not found or found[2] not in units or not int(found[1]):
        raise StackError(f"{text!r} is no amount; write a number and one of {', '.join(filter(None, units))}")
    return int(found[1]) * units[found[2]]
