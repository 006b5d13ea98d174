"""`millrace webhooks` and `millrace notifications`: who is told of what, and what was told."""

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from millrace.output import AsJson, console, open_client, print_json, say

webhooks = typer.Typer(help="Webhooks: endpoints that are told when jobs end.", no_args_is_help=True)
notifications = typer.Typer(help="Notifications: what there is to know.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1)]


@webhooks.command()
def add(
    url: str,
    topic: Annotated[list[str], typer.Option(help="Which ends, like `model.train.*` or `#.died`; repeatable.")],
    description: str = "",
    as_json: AsJson = False,
) -> None:
    """Add an endpoint and print its secret, which is not shown again."""
    with open_client() as client:
        made = client.webhooks.add(url, topic, description)
    if as_json:
        print_json(made)
    else:
        say(f"{made.id} is told of {', '.join(made.topics)}\nsecret, shown this once: {made.secret}")


@webhooks.command(name="ls")
def list_webhooks(as_json: AsJson = False) -> None:
    """List your webhooks, newest first."""
    with open_client() as client:
        found = client.webhooks.find()
    if as_json:
        print_json([webhook.model_dump(mode="json") for webhook in found])
        return
    table = Table("Id", "URL", "Topics", "State", box=None)
    for webhook in found:
        state = "failing" if webhook.failing_since else "well"
        state = state if webhook.enabled else f"disabled: {webhook.disabled_because}"
        table.add_row(webhook.id, escape(webhook.url), ", ".join(webhook.topics), escape(state))
    console.print(table)


@webhooks.command(name="rm")
def remove(webhook: str) -> None:
    """Remove an endpoint."""
    with open_client() as client:
        client.webhooks.remove(webhook)
    say(f"{webhook} is told nothing any more")


@webhooks.command()
def enable(webhook: str) -> None:
    """Tell it again, after it was disabled. See `recover` for what it missed."""
    with open_client() as client:
        client.webhooks.change(webhook, enabled=True)
    say(f"{webhook} is enabled")


@webhooks.command()
def rotate(
    webhook: str,
    keep_old_s: Annotated[
        int, typer.Option("--keep", min=0, help="Seconds that the old one signs as well.")
    ] = 86_400,
) -> None:
    """Print a new secret, which is not shown again."""
    with open_client() as client:
        say(client.webhooks.rotate(webhook, keep_old_s).secret)


@webhooks.command()
def test(webhook: str) -> None:
    """Send a test event, and say what came of it."""
    with open_client() as client:
        job = client.webhooks.test(webhook)
        entry = next(client.webhooks.deliveries(webhook, page_size=1), None)
    last = entry.attempts[-1] if entry and entry.id == job.id and entry.attempts else None
    answer = f"{last.status or last.error}, after {last.duration_s:.3f} s" if last else "on its way"
    say(f"{job.id} {job.status}: {answer}")
    if job.status != "succeeded":
        raise typer.Exit(1)


@webhooks.command()
def deliveries(
    webhook: str,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show what was sent to an endpoint and what it answered, newest first."""
    with open_client() as client:
        found = list(islice(client.webhooks.deliveries(webhook, state=state, page_size=min(limit, 200)), limit))
    if as_json:
        print_json([delivery.model_dump(mode="json") for delivery in found])
        return
    table = Table("Delivery", "When", "Event", "State", "Tries", "Last answer", "Took", box=None)
    for delivery in found:
        last = delivery.attempts[-1] if delivery.attempts else None
        answer = str(last.status or last.error) if last else ""
        table.add_row(
            delivery.id,
            f"{delivery.created_at:%Y-%m-%d %H:%M:%S}",
            delivery.type,
            delivery.state,
            str(len(delivery.attempts)),
            escape(answer[:60]),
            f"{last.duration_s:.3f} s" if last else "",
        )
    console.print(table)


@webhooks.command()
def replay(webhook: str, delivery: str) -> None:
    """Send one delivery again, whatever came of it."""
    with open_client() as client:
        say(f"sent again by {client.webhooks.replay(webhook, delivery).resent_by}")


@webhooks.command()
def recover(webhook: str, since: Annotated[datetime, typer.Option(help="UTC, like 2026-11-25T08:00:00.")]) -> None:
    """Send again whatever has failed since then."""
    with open_client() as client:
        found = client.webhooks.recover(webhook, since if since.tzinfo else since.replace(tzinfo=UTC))
    say(f"{found.count} on their way again" + (", and there are more" if found.more else ""))


@notifications.command(name="ls")
def list_notifications(
    unread: Annotated[bool, typer.Option("--unread", help="Only what was not read.")] = False,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show notifications, newest first."""
    with open_client() as client:
        found = list(islice(client.notifications.find(unread=unread, page_size=min(limit, 200)), limit))
    if as_json:
        print_json([told.model_dump(mode="json") for told in found])
        return
    table = Table("When", "", "What", "", "Job", box=None)
    for told in found:
        mark = "" if told.read_at else "new"
        when = f"{told.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(when, mark, escape(told.title), escape(told.text[:80]), told.job_id or "")
    console.print(table)


@notifications.command()
def read() -> None:
    """Mark all as read."""
    with open_client() as client:
        client.notifications.read()
    say("all read")
