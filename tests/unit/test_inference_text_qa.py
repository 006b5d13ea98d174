"""`text.qa` against transformers' own scoring of spans, on models that it runs itself, window by window."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    BertForQuestionAnswering,
    DistilBertForQuestionAnswering,
    RobertaForQuestionAnswering,
)
from transformers.pipelines.document_question_answering import select_starts_ends

from consumers.encoders.entities import Piece
from consumers.inference.resources import Inference, open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.spans import Window, passages, without_answer
from consumers.inference.text_qa import answer_questions
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_qa import TEXT_QA, AnswerQuestions, QaOptions, Question, QuestionsAnswered
from schemas.texts import DEFAULT_MODEL
from tests.support.encoders import paragraphs, save, save_roberta, tiny_bert, tiny_distilbert
from tests.support.inference import OWNER, Shelf, task

CONTEXTS = [
    *sorted(paragraphs(), key=len)[30:50:2],
    "Zoë Müller's naïve café — 東京 é",
    "unbelievable/pneumono  ultra",
]
QUESTIONS = [Question(question=f"What is {context.split()[0]}, and why?", context=context) for context in CONTEXTS]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answerers")


@pytest.fixture(scope="session")
async def inference(models: Path) -> AsyncIterator[Inference]:
    threads = torch.get_num_threads()
    async with open_inference(InferenceSettings(models_dir=models, device="cpu", dtype="float32"), Shelf()) as opened:
        yield opened
    torch.set_num_threads(threads)


async def run(inference: Inference, model: str, *inputs: Question, **options: Any) -> QuestionsAnswered:
    params = AnswerQuestions(model=model, inputs=list(inputs), options=QaOptions(**options))
    return cast(QuestionsAnswered, await answer_questions.run(task(params), inference))


class Directly:
    """transformers' former pipeline: its scores, and from tokens to whole words."""

    def __init__(self, path: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        model = AutoModelForQuestionAnswering.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
        self._model: Any = model.eval()

    def answers(self, asked: Question, *, no_answer: bool) -> dict[tuple[int, int], float]:
        """All that could be among the best of all windows."""
        windows = self._tokenizer(
            asked.question, asked.context, truncation="only_second", max_length=96, stride=24,
            return_overflowing_tokens=True, return_tensors="pt", padding=True,
        )  # fmt: skip
        found: dict[tuple[int, int], float] = {}
        nothing = 1.0
        names = ["input_ids", "attention_mask"]
        if self._model.config.model_type == "bert":
            names.append("token_type_ids")
        with torch.inference_mode():
            said = self._model(**{name: windows[name] for name in names})
        for at in range(len(windows["input_ids"])):
            masked = np.array([each != 1 for each in windows.sequence_ids(at)])
            masked[0] = False
            starts, ends, scores, nothing = select_starts_ends(
                said.start_logits[at].double().numpy()[None], said.end_logits[at].double().numpy()[None],
                masked[None], windows["attention_mask"][at].numpy()[None],
                min_null_score=nothing, top_k=10_000, handle_impossible_answer=no_answer, max_answer_len=6,
            )  # fmt: skip
            for start, end, score in zip(starts, ends, scores, strict=True):
                if score > 0:
                    place = self._whole_words(windows[at], int(start), int(end))
                    found[place] = max(float(score), found.get(place, 0.0))
        return found | ({(0, 0): nothing} if no_answer else {})

    def _whole_words(self, window: Any, start: int, end: int) -> tuple[int, int]:
        first, last = window.token_to_word(start), window.token_to_word(end)
        return window.word_to_chars(first, sequence_index=1)[0], window.word_to_chars(last, sequence_index=1)[1]


def saved_bert(path: Path) -> Path:
    return save(tiny_bert(BertForQuestionAnswering, initializer_range=0.3), path)


def saved_roberta(path: Path) -> Path:
    return save_roberta(RobertaForQuestionAnswering, path, initializer_range=0.3)


def saved_distilbert(path: Path) -> Path:
    return save(tiny_distilbert(DistilBertForQuestionAnswering, initializer_range=0.3), path)


@pytest.mark.parametrize(("saved", "padded"), [(saved_bert, False), (saved_roberta, False), (saved_distilbert, True)])
async def test_answers_equal_those_of_transformers(
    inference: Inference, models: Path, saved: Callable[[Path], Path], *, padded: bool
) -> None:
    path = saved(models / saved.__name__)
    options: dict[str, Any] = {"top_k": 5, "window": 96, "overlap": 24, "max_answer_tokens": 6, "no_answer": True}
    result = await run(inference, path.name, *QUESTIONS, **options)
    directly = await asyncio.to_thread(Directly, path)
    for asked, found in zip(QUESTIONS, result.outputs, strict=True):
        expected = directly.answers(asked, no_answer=True)
        best = sorted(expected.values(), reverse=True)[:5]
        np.testing.assert_allclose([each.score for each in found], best, atol=1e-4)
        for each in found:
            assert each.score == pytest.approx(expected[each.start, each.end], abs=1e-4)
            assert each.text == asked.context[each.start : each.end]
    assert result.truncated == 0
    assert len({each.start for found in result.outputs for each in found}) > len(QUESTIONS)
    async with inference.model(TEXT_QA, OWNER, path.name) as model:
        assert model.facts.padded is padded


async def test_a_long_context_is_read_to_its_end(inference: Inference, models: Path) -> None:
    saved_bert(models / "long")
    asked = Question(question="What is at the end?", context="word " * 1_000 + "naïve café")
    result = await run(inference, "long", asked, top_k=20, max_answer_tokens=2)
    assert result.tokens > 1_000
    assert (result.truncated, result.model.name) == (0, "long")
    whole = await run(inference, "long", asked, top_k=20, max_answer_tokens=2, window=10_000)
    assert result.tokens > whole.tokens  # 512 is all that the model reads, but its windows share fewer tokens


async def test_a_question_that_leaves_no_room_is_refused(inference: Inference, models: Path) -> None:
    saved_bert(models / "room")
    asked = Question(question="word " * 60, context="word")
    with pytest.raises(Reject, match=r"^/inputs/1/question: leaves no room for the context in 63 tokens") as refused:
        await run(inference, "room", QUESTIONS[0], asked, window=63)
    assert refused.value.type == "input-too-long"
    assert len((await run(inference, "room", asked, window=64)).outputs[0]) == 1


async def test_what_answers_no_questions_is_refused(inference: Inference, models: Path) -> None:
    for name in (save(tiny_bert(), models / "headless").name, DEFAULT_MODEL):
        with pytest.raises(Reject, match="without qa_outputs") as refused:
            await run(inference, name, *QUESTIONS)
        assert refused.value.type == "model-unsupported"


def test_what_is_found_twice_counts_once_and_words_stay_whole() -> None:
    pieces = [None, None, Piece(0, 2, False), Piece(2, 5, True), Piece(6, 9, False)]
    said = np.log(np.array([[4, 4], [9, 9], [2, 1], [3, 2], [1, 3]], np.float32))
    window = Window(said, pieces)
    assert without_answer([window]) == pytest.approx(0.16)
    found = passages([window, window], 9, 2, whole_words=True)
    assert [(each.start, each.end, round(each.score, 4)) for each in found] == [
        (0, 9, 0.09),
        (0, 5, 0.06),
        (6, 9, 0.03),
    ]
    parts = passages([window], 2, 1, whole_words=False)
    assert [(each.start, each.end, round(each.score, 4)) for each in parts] == [(2, 5, 0.06), (6, 9, 0.03)]
