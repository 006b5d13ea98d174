"""The stack as a table for people and as JSON for programs."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from millrace.client import Event
from millrace.stack.state import StackRecord, UnitRecord
from schemas.resources import JobSummary


def as_json(record: StackRecord) -> dict[str, Any]:
    """What `millrace status --json` prints."""
    fields = {"name", "url", "pid", "state", "restarts", "external"}
    return {
        "running": record.alive,
        "phase": record.phase,
        "data_dir": str(record.data_dir),
        "supervisor_pid": record.supervisor.pid,
        "api_url": record.api_url,
        "api_key": record.api_key,
        "environment": record.environment,
        "gateway": _plain(record.gateway, fields | {"health_url"}) if record.gateway else None,
        "pools": [_plain(pool, fields | {"health_url", "pools"}) for pool in record.pools],
        "services": [_plain(service, fields | {"management_url"}) for service in record.services],
    }


def _plain(unit: UnitRecord, fields: set[str]) -> dict[str, Any]:
    return unit.model_dump(mode="json", include=fields)


def as_table(record: StackRecord) -> Table:
    """Every URL, and how each process is."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("NAME", no_wrap=True, min_width=max(len(unit.name) for unit in record.units))
    table.add_column("STATE", no_wrap=True, min_width=10)
    table.add_column("PID", no_wrap=True, min_width=8, justify="right")
    table.add_column("RESTARTS", no_wrap=True, min_width=8, justify="right")
    table.add_column("URL", overflow="fold")
    for unit in record.units:
        pid = "external" if unit.external else str(unit.pid or "-")
        url = without_password(unit.url) if unit.external else unit.url
        table.add_row(unit.name, _coloured(unit.state), pid, str(unit.restarts), url)
        if unit.management_url:
            table.add_row("", "", "", "", unit.management_url)
    return table


def told(event: Event) -> str:
    """One line about an event of a topic."""
    if event.type == "gap":
        return "... some events are missing"
    data = event.data["data"] or {}
    more = data.get("error", {}).get("title") or data.get("message") or ""
    return f"{event.data['time'][11:19]} {event.data['topic']} {event.data['job']} {more}".rstrip()


def addresses(record: StackRecord) -> Table:
    """What a client needs first."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_row("API", record.api_url)
    table.add_row("API key", record.api_key or "-")
    table.add_row("Documentation", f"{record.api_url}/docs")
    table.add_row("Data", str(record.data_dir))
    return table


def jobs_table(jobs: Sequence[JobSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ID", "KIND", "STATUS", "ATTEMPT", "CREATED"):
        table.add_column(column, no_wrap=True)
    for job in jobs:
        created = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(job.id, job.kind, job.status, str(job.attempt), created)
    return table


def without_password(url: str) -> str:
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@", 1) if password else url


def _coloured(state: str) -> str:
    colour = {"ready": "green", "unhealthy": "red", "restarting": "red"}.get(state, "yellow")
    return f"[{colour}]{state}[/{colour}]"
