"""The request log: what became of predictions, kept for a while and only as far as the request and the deployment
allow."""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from pydantic import Field
from pydantic_core import to_json
from pydantic_settings import BaseSettings, SettingsConfigDict

from producers.results import asked, made
from schemas.jobs.model_predict import MODEL_PREDICT, PredictRows, RequestLog, RowsPredicted
from storage import predictions
from storage.blobs import BlobMissing, BlobStore
from storage.census import EndedJob
from storage.database import Database
from storage.documents import PredictionDocument
from storage.shelves import Unfit

log = structlog.get_logger()

LOGGED = MODEL_PREDICT.name
_STRICTEST_FIRST = (RequestLog.OFF, RequestLog.OUTPUTS, RequestLog.FULL)


class RequestLogSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_REQUEST_LOG_", env_ignore_empty=True, extra="ignore")

    most: RequestLog = RequestLog.FULL
    """What may be kept at most, whatever a request asks for."""
    days: float = Field(30, gt=0)
    """For how long."""


class RequestLogger:
    """Adds what jobs of kind `model.predict` were asked and answered. Doing so again changes nothing."""

    def __init__(self, database: Database, blobs: BlobStore, settings: RequestLogSettings) -> None:
        self._database, self._blobs, self._settings = database, blobs, settings

    async def add(self, jobs: Sequence[EndedJob]) -> None:
        """One that cannot be logged is named in our own log, and does not stop the others. Raises StoreUnavailable,
        BlobUnavailable."""
        entries = [entry for job in jobs if (entry := await self._entry(job)) is not None]
        try:
            await predictions.add(self._database, entries)
        except Unfit:
            for entry in entries:
                try:
                    await predictions.add(self._database, [entry])
                except Unfit as error:
                    _complain(entry.id, error)

    async def _entry(self, job: EndedJob) -> PredictionDocument | None:
        if job.dataschema is None:  # whoever folds its command sees that it has succeeded
            return None
        try:
            params = PredictRows.read(job.dataschema, await asked(job, self._blobs))
            result = RowsPredicted.model_validate(await made(job, self._blobs))
        except (ValueError, BlobMissing) as error:
            _complain(job.id, error)
            return None
        return entry_of(job, params, result, self._settings)


def entry_of(
    job: EndedJob, params: PredictRows, result: RowsPredicted, settings: RequestLogSettings
) -> PredictionDocument | None:
    """None where nothing may be kept. The stricter of request and deployment decides."""
    kept = min(params.log, settings.most, key=_STRICTEST_FIRST.index)
    if kept is RequestLog.OFF:
        return None
    # Constructed, not made: Beanie's constructor works only where documents were prepared.
    entry: PredictionDocument = PredictionDocument.model_construct(
        id=job.id,
        schema_version=1,
        model_id=result.model_id,
        version=result.version,
        at=job.finished_at,
        rows=len(params.rows),
        duration_s=(job.finished_at - (job.started_at or job.finished_at)).total_seconds(),
        inputs=to_json(params.rows).decode() if kept is RequestLog.FULL else None,
        outputs=result.model_dump_json(include=_OUTPUTS, exclude_none=True),
        expires_at=job.finished_at + timedelta(days=settings.days),
    )
    return entry


def _complain(job_id: str, error: Exception) -> None:
    log.error("not_logged", job_id=job_id, error=str(error)[:500])


_OUTPUTS = {"predictions", "classes", "probabilities", "explanations", "warnings"}
