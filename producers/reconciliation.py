"""Conservation: every accepted job has ended, or something holds it. Finding those that nothing holds, and
publishing them again.

A job is republished from its document, to its work queue only, with its ids, generation and attempt. Should its first
message be somewhere after all, it runs twice and counts once: that is what the fold is for.
"""

import asyncio
from collections import Counter
from collections.abc import Container, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import structlog
from pydantic import ValidationError
from pydantic_core import to_json

from messaging import names
from messaging.inspection import Inspector, QueueCount
from messaging.message import Claim, OutgoingMessage, message_for, without_broker_headers
from messaging.publisher import Publisher, Unroutable
from producers.custody import MARGIN_S, TIERS, Holders, holders, ledger_behind, unheld
from schemas.envelope import Envelope, message_type
from schemas.kinds import kinds
from schemas.lifecycle import JobState
from storage import census, leases, workers
from storage.census import LIVE, StoredJob, StoredLease
from storage.database import Database
from telemetry import metrics

log = structlog.get_logger()

# All of a round's orphans at once, as far as memory allows: those that stay behind cannot be told from what has been
# published again until their queue has run empty.
MOST_AT_ONCE = 50_000
_BATCH = 200
# The broker answers 0 and 0 for a queue whose leader it cannot reach just now: so look twice before believing it.
_SECOND_LOOK_S = 1.0


_Count = tuple[str, JobState]


@dataclass(frozen=True)
class Orphan:
    """A job that has not ended and that nothing holds; its parameters are left in the store."""

    job: StoredJob
    lease: StoredLease | None
    reason: str


@dataclass(frozen=True)
class Stock:
    """What was found at one time."""

    jobs: Counter[_Count]
    """By kind and state."""
    queues: dict[str, QueueCount]
    orphans: list[Orphan] = field(default_factory=list)
    settled: bool = True
    """Whether the ledger had nothing left to fold. While it has, no job can be called an orphan."""

    @property
    def live(self) -> Counter[JobState]:
        return self.by_state(LIVE)

    def by_state(self, states: Sequence[JobState] = tuple(JobState)) -> Counter[JobState]:
        found = Counter(dict.fromkeys(states, 0))
        for (_, state), count in self.jobs.items():
            if state in found:
                found[state] += count
        return found


async def reconcile(
    database: Database,
    inspector: Inspector,
    publisher: Publisher,
    source: str,
    margin_s: float = MARGIN_S,
    spared: Container[str] = (),
) -> Stock:
    """Find the orphans, publish them again but for those `spared`, set the gauges. Costs a few indexed reads, however
    many jobs have ended.

    Several reapers may do so at once. Raises StoreUnavailable, PublishFailed.
    """
    stock = await take_stock(database, inspector, margin_s=margin_s)
    lost = [orphan for orphan in stock.orphans if orphan.job.id not in spared]
    await republish(database, publisher, lost, source)
    for state, count in stock.live.items():
        metrics.JOBS.labels(state).set(count)
    if stock.settled:  # or nobody knows, and what was known stands
        metrics.JOBS_UNACCOUNTED.set(len(stock.orphans))
    return stock


async def take_stock(database: Database, inspector: Inspector, *, margin_s: float = MARGIN_S) -> Stock:
    """Count the live jobs, ask the broker what it holds, and name the orphans. Raises StoreUnavailable,
    BrokerUnavailable."""
    queues = await inspector.count(queue_names())
    jobs = await census.count_jobs(database, LIVE)
    suspects, settled = await _suspects(database, queues, jobs)
    before = datetime.now(UTC) - timedelta(seconds=margin_s)
    found: list[StoredJob] = []
    async with aclosing(census.quiet_jobs(database, list(suspects), before)) as batches:
        async for batch in batches:
            found += [orphan.job for orphan in await _orphans(database, suspects, batch, margin_s)]
            if len(found) >= MOST_AT_ONCE:
                break
    if not found:
        return Stock(jobs, queues, settled=settled)
    await asyncio.sleep(_SECOND_LOOK_S)
    queues = await inspector.count(queue_names())
    suspects, settled = await _suspects(database, queues, jobs)
    same = await _unchanged(database, found, params=False)
    return Stock(jobs, queues, await _orphans(database, suspects, same, margin_s), settled=settled)


async def _suspects(
    database: Database, queues: dict[str, QueueCount], jobs: Counter[_Count]
) -> tuple[dict[str, Holders], bool]:
    """The kinds of which live jobs may be held by nothing, and whether the ledger is up to date. While it is not,
    there are none: what it has to fold may be what ended them."""
    roster, now = await workers.roster(database), datetime.now(UTC)
    if _backlog(queues) or ledger_behind(roster, now):
        return {}, False
    live = {kind for kind, _ in jobs}
    found = {kind: holders(kind, queues, jobs[kind, JobState.RUNNING], roster, now) for kind in live}
    return {kind: holding for kind, holding in found.items() if not holding.broker_holds}, True


async def _orphans(
    database: Database, suspects: dict[str, Holders], jobs: Sequence[StoredJob], margin_s: float
) -> list[Orphan]:
    held = await census.leases_of(database, [job.id for job in jobs])
    now = datetime.now(UTC)
    found = []
    for job in jobs:
        lease, holding = held.get(job.id), suspects.get(job.kind)
        if holding is not None and (reason := unheld(job, lease, holding, now, margin_s)):
            found.append(Orphan(job, lease, reason))
    return found


def queue_names() -> list[str]:
    """Every queue that may hold a job or what became of one. Tiers before what they flow into, so that a message on
    its way is counted."""
    return [*TIERS, *map(names.work_queue, sorted(kinds())), names.DEAD, names.LEDGER]


def _backlog(queues: dict[str, QueueCount]) -> int:
    return queues[names.LEDGER].ready if names.LEDGER in queues else 0


async def _unchanged(database: Database, jobs: Sequence[StoredJob], *, params: bool) -> list[StoredJob]:
    """Those of which nothing was heard since, read again."""
    again = await census.jobs_by_id(database, [job.id for job in jobs], params=params)
    return [again[job.id] for job in jobs if job.id in again and again[job.id].position == job.position]


async def republish(database: Database, publisher: Publisher, orphans: Sequence[Orphan], source: str) -> None:
    """Their commands once more, to their work queues. What nobody can publish stays a finding. Raises
    StoreUnavailable, PublishFailed."""
    for start in range(0, len(orphans), _BATCH):
        batch = {orphan.job.id: orphan for orphan in orphans[start : start + _BATCH]}
        jobs = await _unchanged(database, [orphan.job for orphan in batch.values()], params=True)
        await asyncio.gather(
            *(_republish(database, publisher, replace(batch[job.id], job=job), source) for job in jobs)
        )


async def _republish(database: Database, publisher: Publisher, orphan: Orphan, source: str) -> None:
    ids = {"job_id": orphan.job.id, "kind": orphan.job.kind}
    try:
        message = _command_again(orphan, source)
        if orphan.lease is None:  # or a finished one takes the command for a late duplicate
            await leases.reopen(database, orphan.job.id, orphan.job.generation, orphan.job.attempt)
        queue = names.work_queue(orphan.job.kind)
        await publisher.publish(message, exchange=names.DEFAULT_EXCHANGE, routing_key=queue)
    except (ValidationError, Unroutable) as error:
        log.error("orphan_kept", reason=orphan.reason, error=str(error), **ids)
    else:
        log.warning("orphan_republished", reason=orphan.reason, **ids)


def _command_again(orphan: Orphan, source: str) -> OutgoingMessage:
    """Raises ValidationError when the document does not know the command, of which only an event was folded."""
    job, lease = orphan.job, orphan.lease
    if lease is not None and (lease.generation, lease.attempt) == (job.generation, job.attempt):
        return OutgoingMessage(without_broker_headers(lease.headers), lease.body)
    return command_of(job, source)


def command_of(job: StoredJob, source: str) -> OutgoingMessage:
    """The command behind a document. Raises ValidationError when it does not know it."""
    envelope = Envelope.model_validate(
        {
            # Equal for every republishing of one attempt, so that the letters of doubles are one.
            "id": uuid5(NAMESPACE_URL, f"urn:millrace:again:{job.id}:{job.generation}:{job.attempt}").hex,
            "source": source,
            "type": message_type(job.kind),
            "subject": job.id,
            "time": job.created_at,
            "job_id": job.id,
        }
        | {name: getattr(job, name) for name in _FROM_DOCUMENT}
    )
    if job.params_claim is not None:
        return message_for(envelope, b"", Claim(job.params_claim.path, job.params_claim.sha256))
    return message_for(envelope, to_json(job.params))


_FROM_DOCUMENT = (
    "dataschema",
    "kind",
    "generation",
    "attempt",
    "principal",
    "deadline",
    "correlation_id",
    "idempotency_key",
    "traceparent",
    "cache_control",
)
