"""`model.predict`: rows to predictions, in batches formed across jobs."""

import asyncio

from consumers.learning.rows import check_rows
from consumers.prediction.answers import Asked
from consumers.prediction.resources import ServedModel, Serving, Wanted
from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import Reject
from schemas.jobs.model_predict import MODEL_PREDICT, PredictRows, PredictTiming, RowsPredicted, RowWarning

_INLINE_CELLS = 1_000  # checked in about a millisecond; a thread's round trip costs as much
_MOST_EXPLAINED = 200_000
"""Rows times columns: each is a prediction more."""


@handles(MODEL_PREDICT, prefetch=256)
async def predict_rows(task: Task[PredictRows], resources: Serving) -> RowsPredicted:
    """Raises Reject for a model or rows that cannot be used."""
    params = task.params
    model = await resources.models.get(Wanted(params.model_id, params.version, task.envelope.principal))
    if params.explain and len(params.rows) * len(model.signature.inputs) > _MOST_EXPLAINED:
        most = _MOST_EXPLAINED // len(model.signature.inputs)
        raise Reject(f"/params/explain: of this model at most {most:,} rows at a time are explained; send fewer")
    warnings = await _checked(params, model)
    done = await model.batcher.ask(Asked(params.rows, params.explain))
    return RowsPredicted(
        model_id=params.model_id,
        name=model.name,
        version=params.version,
        task=model.signature.task,
        predictions=done.answer.predictions,
        classes=model.signature.classes,
        probabilities=done.answer.probabilities,
        explanations=done.answer.explanations,
        warnings=warnings,
        timing=PredictTiming(queue_s=done.queue_s, run_s=done.run_s),
    )


async def _checked(params: PredictRows, model: ServedModel) -> list[RowWarning]:
    """Raises Reject, which names every value that does not fit."""
    if len(params.rows) * len(model.signature.inputs) <= _INLINE_CELLS:
        return check_rows(params.rows, model.signature)
    return await asyncio.to_thread(check_rows, params.rows, model.signature)
