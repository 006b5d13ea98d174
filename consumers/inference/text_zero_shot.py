"""`text.zero-shot`: texts to labels that are only named, in batches formed across jobs."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from consumers.inference.entailment import entailment
from consumers.inference.labelling import Scores, built, probabilities, rounded
from consumers.inference.ports import Labels, Tokens
from consumers.inference.text_model import Answer, TextModel, check
from consumers.inference.tokenizing import NoRoom, PairReader
from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_embed import TEXT_EMBED
from schemas.jobs.text_zero_shot import (
    PLACE,
    TEXT_ZERO_SHOT,
    CandidateScore,
    TextZeroShotClassified,
    ZeroShotModel,
    ZeroShotTexts,
)
from schemas.texts import DEFAULT_MODEL

if TYPE_CHECKING:
    from consumers.inference.resources import Inference

_SCALE = 12
"""Of cosines, to logits: of 10, 12, 15 and 20 the one with the least log loss over two sets of real texts, which
are in docs/guides/inference.md."""


@handles(TEXT_ZERO_SHOT, prefetch=256)
async def classify_by_name(task: Task[ZeroShotTexts], resources: "Inference") -> TextZeroShotClassified:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full."""
    params, owner = task.params, task.envelope.principal
    if params.model == DEFAULT_MODEL:
        async with resources.model(TEXT_EMBED, owner, params.model) as model:
            texts = [*params.inputs, *_sentences(params)]
            answer = await model.answer(texts, truncate=params.options.truncate)
            return await built(partial(_by_similarity, params, model), answer)
    async with resources.model(TEXT_ZERO_SHOT, owner, params.model) as model:
        characters = sum(map(len, params.inputs)) * len(params.candidate_labels)
        answer = await model.compute(await model.reading(partial(_pairs, params, model), characters))
        return await built(partial(_by_entailment, params, model), answer)


def _sentences(params: ZeroShotTexts) -> list[str]:
    return [params.options.hypothesis_template.replace(PLACE, label) for label in params.candidate_labels]


def _pairs(params: ZeroShotTexts, model: TextModel) -> list[Tokens]:
    if _each_for_itself(params) and entailment(model.labels.names).contradicts is None:
        detail = f"{params.model!r} has no label for contradiction, against which a single label is weighed"
        raise Reject(f"/model: {detail}; give several, without options.multi_label", type="model-unsupported")
    reader: PairReader = model.reader
    try:
        read = reader.read_each(params.inputs, _sentences(params))
    except NoRoom as full:
        detail = f"with the template it leaves no room for a text in {full.most} tokens; shorten it"
        raise Reject(f"/candidate_labels/{full.index}: {detail}", type="input-too-long") from None
    check(read, truncate=params.options.truncate)
    return read


def _by_similarity(params: ZeroShotTexts, model: TextModel, answer: Answer) -> TextZeroShotClassified:
    vectors = np.stack(answer.vectors).astype(np.float64)  # of length one, as this model leaves them
    texts, sentences = np.split(vectors, [len(params.inputs)])
    return _result(params, probabilities(_SCALE * texts @ sentences.T, Labels()), model, "similarity", answer)


def _by_entailment(params: ZeroShotTexts, model: TextModel, answer: Answer) -> TextZeroShotClassified:
    logits = np.stack(answer.vectors).reshape(len(params.inputs), len(params.candidate_labels), -1)
    names = entailment(model.labels.names)
    if _each_for_itself(params):
        weighed = [at for at in (names.contradicts, names.entails) if at is not None]
        scores = probabilities(logits[:, :, weighed], Labels())[:, :, -1]
    else:
        scores = probabilities(logits[:, :, names.entails], Labels())
    return _result(params, scores, model, "entailment", answer)


def _each_for_itself(params: ZeroShotTexts) -> bool:
    return params.options.multi_label or len(params.candidate_labels) == 1


def _result(
    params: ZeroShotTexts,
    scores: Scores,
    model: TextModel,
    method: Literal["entailment", "similarity"],
    answer: Answer,
) -> TextZeroShotClassified:
    return TextZeroShotClassified(
        outputs=[_best(each, params) for each in scores],
        model=ZeroShotModel(**asdict(model.identity), method=method),
        **answer.told,
    )


def _best(scores: Scores, params: ZeroShotTexts) -> list[CandidateScore]:
    """The likeliest first; among equals in the order of the labels."""
    order = np.argsort(-scores, kind="stable")[: params.options.top_k]
    return [CandidateScore(label=params.candidate_labels[at], score=rounded(scores[at])) for at in order]
