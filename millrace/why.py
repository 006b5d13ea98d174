"""How `millrace why` prints an explanation."""

from rich.console import Console
from rich.table import Table

from schemas.resources import JobExplanation


def show(found: JobExplanation, console: Console) -> None:
    console.print(f"[bold]{found.state}[/] {found.kind or ''}")
    console.print(found.summary, markup=False)
    console.print(f"Next: {found.next}", markup=False)
    if found.retry is not None and found.retry.error is not None:
        console.print(f"Before: {found.retry.error.title}: {found.retry.error.detail}", markup=False)
    if found.queue is not None:
        ready, consumers = found.queue.ready, found.queue.consumers
        console.print(f"{found.queue.name}: {ready} ready, {consumers} consumers", markup=False)
    if found.workers:
        table = Table("Worker", "State", "In flight", "Heard", "Reason", box=None)
        for worker in found.workers:
            heard = f"{worker.heartbeat_age_s:.0f} s ago"
            table.add_row(worker.worker, worker.state, str(worker.in_flight), heard, worker.reason or "")
        console.print(table)
    for missing in found.missing:
        console.print(f"Not known: {missing}", markup=False)
