"""`text.ner`: texts to the entities in them, in batches formed across jobs."""

from functools import partial
from typing import TYPE_CHECKING

from consumers.encoders.entities import OUTSIDE, entities, label_of
from consumers.inference.answers import remembered
from consumers.inference.labelling import answering, built, probabilities, rounded
from consumers.inference.ports import Tokens, Vectors
from consumers.inference.text_model import Answer, TextModel
from consumers.runtime.handler import Task, handles
from schemas.jobs.text_ner import TEXT_NER, EntitiesFound, Entity, FindEntities

if TYPE_CHECKING:
    from consumers.inference.resources import Inference


@handles(TEXT_NER, prefetch=256)
@remembered
async def find_entities(task: Task[FindEntities], resources: "Inference") -> EntitiesFound:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full or the registry
    away."""
    params = task.params
    async with resources.model(TEXT_NER, task.envelope.principal, params.model) as model:
        answer = await model.answer(params.inputs, truncate=params.options.truncate)
        return await built(partial(_result, params, model), answer)


def _result(params: FindEntities, model: TextModel, answer: Answer) -> EntitiesFound:
    tags = [str(name) for name in model.labels.names]

    def found(text: str, logits: Vectors, read: Tokens) -> list[Entity]:
        scores = probabilities(logits, model.labels)
        return [
            Entity(
                start=each.start,
                end=each.end,
                label=each.label,
                score=rounded(each.score),
                text=text[each.start : each.end],
            )
            for each in entities(scores, read.pieces, tags, params.options.aggregation)
        ]

    return EntitiesFound(
        outputs=[found(*each) for each in zip(params.inputs, answer.vectors, answer.read, strict=True)],
        model=answering(model.identity, len({label_of(tag) for tag in tags} - {OUTSIDE})),
        **answer.told,
    )
