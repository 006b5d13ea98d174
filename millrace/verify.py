"""`millrace verify`: asks the broker and the store directly, past gateway and consumers."""

import asyncio
import logging
from collections import Counter
from typing import Any

from rich.console import Console

from messaging.inspection import AmqpInspector
from messaging.publisher import open_publisher
from messaging.settings import BrokerSettings
from producers.rebuilding import Rebuilding
from producers.verification import Report, verify
from storage import database
from storage.settings import StorageSettings

_SOURCE = "millrace verify"
_NAMED = 20


def run(environment: dict[str, Any], settle_s: float, *, rebuild: bool) -> tuple[Report, Counter[str]]:
    """The verdict, and with `rebuild` how many jobs each place gave back before it. The environment names broker and
    stores. Raises BrokerUnavailable, StoreUnavailable and what follows from them."""
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)
    return asyncio.run(_run(environment, settle_s, rebuild=rebuild))


async def _run(environment: dict[str, Any], settle_s: float, *, rebuild: bool) -> tuple[Report, Counter[str]]:
    broker, storage = BrokerSettings(**environment), StorageSettings(**environment)
    async with open_publisher(broker, _SOURCE) as publisher, database.connect(storage) as connected:
        found: Counter[str] = Counter()
        if rebuild:
            await database.apply(storage.mongodb_url)  # a collection that is gone went with its indexes
            rebuilding = Rebuilding(publisher, connected, storage, _SOURCE)
            await rebuilding.run()
            found = rebuilding.found
        inspector = AmqpInspector(publisher.connection, broker.publish_deadline_s)
        return await verify(connected, inspector, settle_s), found


def show(report: Report, rebuilt: Counter[str], console: Console) -> None:
    found = report.as_json()
    if rebuilt:
        console.print("told to the ledger: " + ", ".join(f"{count} from {place}" for place, count in rebuilt.items()))
    ended, live = _sum(found["ended"]), _sum(found["live"])
    console.print(f"accepted {found['accepted']} = ended {ended} + live {live}", markup=False)
    waiting = {name: count["ready"] for name, count in found["queues"].items() if count["ready"]}
    console.print(f"ready in the broker: {_sum(waiting)}; leases: {_sum(found['leases'])}", markup=False)
    for finding in report.findings[:_NAMED]:
        console.print(f"{finding.problem}: {finding.job_id} {finding.kind or ''}: {finding.detail}", markup=False)
    if len(report.findings) > _NAMED:
        console.print(f"and {len(report.findings) - _NAMED} more: --json names them all")
    if report.doubtful:
        console.print(
            f"{report.doubtful} jobs went quiet too short a time ago to tell: wait, or give a longer --settle"
        )
    console.print(report.verdict)


def _sum(counts: dict[str, Any]) -> str:
    inner = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return f"{sum(counts.values())} ({inner})" if inner else "0"
