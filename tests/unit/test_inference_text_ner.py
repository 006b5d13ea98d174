"""`text.ner` against transformers' own pipeline on the same weights, and against what training leaves behind."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertForTokenClassification,
    DistilBertForTokenClassification,
    PreTrainedModel,
    RobertaForTokenClassification,
    TokenClassificationPipeline,
)

from consumers.encoders.entities import Piece, entities, tags_of
from consumers.inference.resources import Inference, open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_ner import find_entities
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_ner import TEXT_NER, Aggregation, EntitiesFound, FindEntities, NerOptions
from tests.support.encoders import paragraphs, save, tiny_bert, tiny_distilbert, tiny_roberta
from tests.support.inference import OWNER, Shelf, task
from tests.support.learned import member, saved, trained

TAGS = {0: "O", 1: "B-name", 2: "I-name", 3: "B-place", 4: "I-place"}
TEXTS = [*paragraphs()[:12], "Zoë Müller's naïve café — 東京 é", "un|believable/pneumonoultramicroscopic", " . "]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("taggers")


@pytest.fixture(scope="session")
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="session")
async def inference(models: Path, shelf: Shelf) -> AsyncIterator[Inference]:
    threads = torch.get_num_threads()
    async with open_inference(InferenceSettings(models_dir=models, device="cpu", dtype="float32"), shelf) as opened:
        yield opened
    torch.set_num_threads(threads)


async def run(inference: Inference, inputs: Sequence[str], model: str, **options: Any) -> EntitiesFound:
    params = FindEntities(model=model, inputs=list(inputs), options=NerOptions(**options))
    return cast(EntitiesFound, await find_entities.run(task(params), inference))


def directly(path: Path, texts: Sequence[str], how: str, limit: int) -> list[list[dict[str, Any]]]:
    tokenizer = AutoTokenizer.from_pretrained(path, model_max_length=limit)
    model = AutoModelForTokenClassification.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    pipeline: Any = TokenClassificationPipeline(  # type: ignore[no-untyped-call]
        model=model.eval(), tokenizer=tokenizer, aggregation_strategy=how, device="cpu"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tokenizers that do not tell where words end
        return [cast(list[dict[str, Any]], pipeline(text)) for text in texts]


MAKES = [
    (tiny_bert, BertForTokenClassification, 512, False),
    (tiny_roberta, RobertaForTokenClassification, 65, False),
    (tiny_distilbert, DistilBertForTokenClassification, 512, True),
]


@pytest.mark.parametrize(("tiny", "make", "limit", "padded"), MAKES)
async def test_entities_equal_those_of_transformers(
    inference: Inference,
    models: Path,
    subtests: pytest.Subtests,
    tiny: Callable[..., PreTrainedModel],
    make: Any,
    limit: int,
    *,
    padded: bool,
) -> None:
    # Wide weights, so that every tag is said somewhere.
    path = save(tiny(make, id2label=TAGS, initializer_range=0.4), models / tiny.__name__)
    for how in Aggregation:
        with subtests.test(how.value):
            result = await run(inference, TEXTS, path.name, aggregation=how)
            expected = await asyncio.to_thread(directly, path, TEXTS, how, limit)
            for text, found, wanted in zip(TEXTS, result.outputs, expected, strict=True):
                told = [(each.start, each.end, each.label) for each in found]
                assert told == [(each["start"], each["end"], each["entity_group"]) for each in wanted], text
                np.testing.assert_allclose(
                    [each.score for each in found], [each["score"] for each in wanted], atol=1e-5
                )
                assert all(each.text == text[each.start : each.end] for each in found)
            assert sum(map(len, result.outputs)) > len(TEXTS)
    async with inference.model(TEXT_NER, OWNER, path.name) as model:
        assert model.facts.padded is padded


async def test_the_result_says_who_answered_and_what_was_cut(inference: Inference, models: Path) -> None:
    path = save(tiny_bert(BertForTokenClassification, id2label=TAGS), models / "told")
    result = await run(inference, ["hello", "word " * 600], path.name)
    assert (result.tokens, result.truncated, result.model.labels) == (3 + 512, 1, 2)
    with pytest.raises(Reject, match=r"^/inputs/1: longer than the 512 tokens"):
        await run(inference, ["hello", "word " * 600], path.name, truncate=False)


async def test_what_is_no_tagger_is_refused(inference: Inference, models: Path) -> None:
    save(tiny_bert(), models / "headless")
    with pytest.raises(Reject, match="without classifier") as refused:
        await run(inference, ["hello"], "headless")
    assert refused.value.type == "model-unsupported"


async def test_a_registered_classifier_finds_no_entities(inference: Inference, shelf: Shelf, tmp_path: Path) -> None:
    shelf.add("classes", saved(trained(member("tfidf-linear")), tmp_path))
    with pytest.raises(Reject, match="is for text-classification and takes text") as refused:
        await run(inference, ["hello"], "registry:classes")
    assert refused.value.type == "model-unsupported"


PIECES = [None, Piece(0, 3, False), Piece(3, 5, True), Piece(6, 9, False), None]


@pytest.mark.parametrize(
    ("how", "found"),
    [
        # "abcde fgh": one word of two tokens that disagree, and another.
        (Aggregation.SIMPLE, [("a", 0, 3, 0.6), ("b", 3, 9, 0.75)]),
        (Aggregation.FIRST, [("a", 0, 5, 0.6), ("b", 6, 9, 0.8)]),
        (Aggregation.MAX, [("b", 0, 9, 0.75)]),
        (Aggregation.AVERAGE, [("a", 0, 5, 0.45), ("b", 6, 9, 0.8)]),
    ],
)
def test_words_agree_as_they_are_told_to(how: Aggregation, found: list[tuple[str, int, int, float]]) -> None:
    """Tags O, B-a, I-a, B-b, I-b."""
    said = np.array(
        [[1, 0, 0, 0, 0], [0.3, 0.6, 0, 0, 0.1], [0, 0.3, 0, 0, 0.7], [0.2, 0, 0, 0, 0.8], [0, 0, 0, 0, 1]]
    )
    assert tags_of(["a", "b"]) == ["O", "B-a", "I-a", "B-b", "I-b"]
    told = entities(said, PIECES, tags_of(["a", "b"]), how)
    assert [(each.label, each.start, each.end) for each in told] == [each[:3] for each in found]
    np.testing.assert_allclose([each.score for each in told], [each[3] for each in found])
