"""`millrace verify`: accepted = ended + live, and whatever holds the live ones; or the names of those that nothing
holds."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from messaging import names
from messaging.inspection import Inspector
from producers.reconciliation import Orphan, Stock, take_stock
from schemas.lifecycle import JobState
from storage import census
from storage.census import LIVE
from storage.database import Database
from storage.documents import LeaseState, LetterState

MARGIN_S = 10.0
"""How long a job must have been quiet before silence counts: shorter than the reaper's, since somebody waits."""
_LOOK_EVERY_S = 0.5
_MOST_NAMED = 1_000


class Problem(StrEnum):
    UNHELD = "unheld"
    """Live, and nothing holds it."""
    DEAD_WITHOUT_LETTER = "dead-without-letter"
    LEASE_WITHOUT_JOB = "lease-without-job"
    """Somebody runs what the projection does not know."""


@dataclass(frozen=True)
class Finding:
    problem: Problem
    job_id: str
    detail: str
    kind: str | None = None


class Verdict(StrEnum):
    CONSERVED = "conserved"
    NOT_SETTLED = "not settled yet"
    """The ledger has messages to fold, or jobs were quiet for too short a time to tell."""
    VIOLATED = "violated"


@dataclass(frozen=True)
class Report:
    stock: Stock
    leases: Counter[LeaseState]
    letters: Counter[LetterState]
    findings: list[Finding]
    doubtful: int
    """Live jobs that nothing seems to hold, and of which something was heard a moment ago."""

    @property
    def verdict(self) -> Verdict:
        if self.findings:
            return Verdict.VIOLATED
        return Verdict.CONSERVED if self.stock.settled and not self.doubtful else Verdict.NOT_SETTLED

    def as_json(self) -> dict[str, Any]:
        jobs = self.stock.by_state()
        return {
            "verdict": self.verdict,
            "accepted": jobs.total(),
            "ended": {state: count for state, count in jobs.items() if state.terminal},
            "live": {state: count for state, count in jobs.items() if not state.terminal},
            "ledger_backlog": self.stock.queues[names.LEDGER].ready if names.LEDGER in self.stock.queues else None,
            "queues": {name: vars(count) for name, count in self.stock.queues.items()},
            "leases": dict(self.leases),
            "dead_letters": dict(self.letters),
            "doubtful": self.doubtful,
            "findings": [vars(finding) for finding in self.findings],
        }


async def verify(database: Database, inspector: Inspector, settle_s: float, margin_s: float = MARGIN_S) -> Report:
    """Look until there is a verdict, for `settle_s` at most. Changes nothing. Raises StoreUnavailable,
    BrokerUnavailable."""
    until = asyncio.get_running_loop().time() + settle_s
    while True:
        stock = await take_stock(database, inspector, margin_s=0)
        heard_since = datetime.now(UTC) - timedelta(seconds=margin_s)
        certain = [orphan for orphan in stock.orphans if orphan.job.updated_at < heard_since]
        doubtful = len(stock.orphans) - len(certain)
        if (stock.settled and not doubtful) or asyncio.get_running_loop().time() >= until:
            return await _report(database, stock, certain, doubtful)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _report(database: Database, stock: Stock, orphans: list[Orphan], doubtful: int) -> Report:
    ended = await census.count_jobs(database, [state for state in JobState if state not in LIVE])
    return Report(
        stock=Stock(stock.jobs + ended, stock.queues, orphans, stock.settled),
        leases=await census.count_leases(database),
        letters=await census.count_letters(database),
        findings=[
            *(Finding(Problem.UNHELD, orphan.job.id, orphan.reason, orphan.job.kind) for orphan in orphans),
            *await _strays(database, settled=stock.settled),
        ],
        doubtful=doubtful,
    )


async def _strays(database: Database, *, settled: bool) -> Iterable[Finding]:
    """What is not where its job says, which only the ledger's backlog could explain."""
    if not settled:
        return []
    return [
        *(
            Finding(Problem.DEAD_WITHOUT_LETTER, job_id, "the job is dead and no letter tells why")
            for job_id in await census.dead_without_letter(database, _MOST_NAMED)
        ),
        *(
            Finding(Problem.LEASE_WITHOUT_JOB, job_id, "a lease holds a job that the projection does not know")
            for job_id in await census.leases_without_job(database, _MOST_NAMED)
        ),
    ]
