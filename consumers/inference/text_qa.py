"""`text.qa`: questions to passages of the texts that come with them, in batches formed across jobs."""

from dataclasses import asdict
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from consumers.inference.labelling import built, rounded
from consumers.inference.ports import Tokens
from consumers.inference.spans import Passage, Window, passages, without_answer
from consumers.inference.text_model import Answer, TextModel
from consumers.inference.tokenizing import NoRoom, PairReader
from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_qa import TEXT_QA, AnswerQuestions, PassageFound, QaOptions, QuestionsAnswered
from schemas.texts import HeadedModel

if TYPE_CHECKING:
    from consumers.inference.resources import Inference


@handles(TEXT_QA, prefetch=256)
async def answer_questions(task: Task[AnswerQuestions], resources: "Inference") -> QuestionsAnswered:
    """Raises Reject for a model or an input that cannot be used, RetryLater while the device is full."""
    params = task.params
    async with resources.model(TEXT_QA, task.envelope.principal, params.model) as model:
        characters = sum(len(each.question) + len(each.context) for each in params.inputs)
        answer = await model.compute(await model.reading(partial(_windows, params, model.reader), characters))
        return await built(partial(_result, params, model), answer)


def _windows(params: AnswerQuestions, reader: PairReader) -> list[Tokens]:
    pairs = [(each.question, each.context) for each in params.inputs]
    try:
        return reader.read_windows(pairs, params.options.window, params.options.overlap)
    except NoRoom as full:
        detail = f"leaves no room for the context in {full.most} tokens; shorten it, or widen options.window"
        raise Reject(f"/inputs/{full.index}/question: {detail}", type="input-too-long") from None


def _result(params: AnswerQuestions, model: TextModel, answer: Answer) -> QuestionsAnswered:
    windows = zip(answer.read, answer.vectors, strict=True)
    by_input = groupby(windows, key=lambda each: each[0].index)
    outputs = [
        [_told(passage, params.inputs[index].context) for passage in _best(each, params.options)]
        for index, each in ((index, [Window(said, one.pieces) for one, said in group]) for index, group in by_input)
    ]
    return QuestionsAnswered(outputs=outputs, model=HeadedModel(**asdict(model.identity)), **answer.told)


def _best(windows: list[Window], options: QaOptions) -> list[Passage]:
    found = passages(windows, options.top_k, options.max_answer_tokens, whole_words=options.whole_words)
    if options.no_answer:
        found.append(Passage(0, 0, without_answer(windows)))
    return sorted(found, key=lambda passage: -passage.score)[: options.top_k]


def _told(found: Passage, context: str) -> PassageFound:
    text = context[found.start : found.end]
    return PassageFound(start=found.start, end=found.end, text=text, score=rounded(found.score))
