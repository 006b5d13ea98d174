"""`model.fetch`: a model into memory, before somebody asks it."""

from typing import TYPE_CHECKING

from consumers.runtime.handler import Task, handles
from schemas.jobs.model_fetch import MODEL_FETCH, FetchModel, ModelFetched
from schemas.kinds import kind_named

if TYPE_CHECKING:
    from consumers.inference.resources import Inference


@handles(MODEL_FETCH, prefetch=4)
async def fetch_model(task: Task[FetchModel], resources: "Inference") -> ModelFetched:
    """Raises Reject for a model that cannot be used so, RetryLater while the device is full or the hub away."""
    params = task.params
    async with resources.model(kind_named(f"text.{params.task}"), task.envelope.principal, params.model) as model:
        facts = model.facts
    return ModelFetched(
        name=facts.identity.name,
        task=params.task,
        sha256=facts.identity.sha256,
        bytes=facts.nbytes,
        peak_bytes=facts.peak_bytes,
        load_s=facts.load_s,
        dtype=facts.identity.dtype,
        device=facts.identity.device,
    )
