"""Results that make something for others to find: they are added to the catalog before their job is seen to have
succeeded. What was asked of models goes into the request log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from producers.catalog import CATALOGED, catalog
from producers.request_log import LOGGED, RequestLogger, RequestLogSettings
from schemas.envelope import Envelope
from schemas.jobs.dataset_ingest import DATASET_INGEST
from schemas.lifecycle import JobSucceeded, LifecycleEvent
from storage.blobs import BlobStore
from storage.census import succeeded
from storage.database import Database
from telemetry import metrics

log = structlog.get_logger()


@dataclass(frozen=True)
class CatalogEntry:
    job_id: str
    kind: str
    generation: int
    principal: str
    result: dict[str, Any]
    at: datetime

    @property
    def listed(self) -> bool:
        return self.kind in CATALOGED


def catalog_entry(envelope: Envelope, event: LifecycleEvent) -> CatalogEntry | None:
    if not isinstance(event, JobSucceeded) or (envelope.kind not in CATALOGED and envelope.kind != LOGGED):
        return None
    ids = {name: getattr(envelope, name) for name in ("job_id", "kind", "generation", "principal")}
    return CatalogEntry(**ids, result=event.result, at=event.finished_at)


def command_entry(envelope: Envelope) -> CatalogEntry | None:
    """Of a command whose outcome another ledger may have folded already, when it could not log what was asked."""
    if envelope.kind != LOGGED:
        return None
    ids = {name: getattr(envelope, name) for name in ("job_id", "kind", "generation", "principal")}
    return CatalogEntry(**ids, result={}, at=envelope.time)


class Catalog:
    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._logger = RequestLogger(database, blobs, RequestLogSettings())

    async def log(self, made: Sequence[CatalogEntry]) -> None:
        """All at once: many small requests end together. Raises StoreUnavailable, BlobUnavailable."""
        ids = [entry.job_id for entry in made if entry.kind == LOGGED]
        if ids:
            await self._logger.add([job async for job in succeeded(self._database, [LOGGED], ids)])

    async def add(self, made: CatalogEntry) -> None:
        """One that cannot be listed makes nothing, and must not stop the ledger. Raises StoreUnavailable."""
        ids = {"job_id": made.job_id, "principal": made.principal}
        try:
            await catalog(self._database, made.kind, made.result, at=made.at, **ids)
        except ValueError as error:
            log.error("not_cataloged", job_id=made.job_id, kind=made.kind, error=str(error)[:500])
            return
        if made.kind == DATASET_INGEST.name:
            _count(made.result)


def _count(ingested: dict[str, Any]) -> None:
    """Here, since the handler's own process, which knows more, is gone before anybody could ask it."""
    metrics.DATASET_ROWS.labels("kept").inc(ingested["rows"])
    metrics.DATASET_ROWS.labels("rejected").inc(ingested["rejected"])
    metrics.DATASET_BYTES.inc(ingested["table"]["bytes"])
