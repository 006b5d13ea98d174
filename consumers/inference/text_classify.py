"""`text.classify`: texts to labels, in batches formed across jobs."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from consumers.inference.answers import remembered
from consumers.inference.labelling import Scores, answering, built, probabilities, rounded
from consumers.inference.ports import Labels
from consumers.inference.text_model import Answer, TextModel
from consumers.runtime.handler import Task, handles
from schemas.jobs.text_classify import TEXT_CLASSIFY, ClassifyText, LabelScore, TextClassified

if TYPE_CHECKING:
    from consumers.inference.resources import Inference


@handles(TEXT_CLASSIFY, prefetch=256)
@remembered
async def classify_text(task: Task[ClassifyText], resources: "Inference") -> TextClassified:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full or the registry
    away."""
    params = task.params
    async with resources.model(TEXT_CLASSIFY, task.envelope.principal, params.model) as model:
        answer = await model.answer(params.inputs, truncate=params.options.truncate)
        return await built(partial(_result, params, model), answer)


def _result(params: ClassifyText, model: TextModel, answer: Answer) -> TextClassified:
    scores = probabilities(np.stack(answer.vectors), model.labels)
    return TextClassified(
        outputs=[best(each, model.labels, params.options.top_k) for each in scores],
        model=answering(model.identity, len(model.labels.names)),
        **answer.told,
    )


def best(scores: Scores, labels: Labels, top_k: int | None) -> list[LabelScore]:
    """The likeliest first; among equals in the model's own order."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [LabelScore(label=labels.names[at], score=rounded(scores[at])) for at in order]
