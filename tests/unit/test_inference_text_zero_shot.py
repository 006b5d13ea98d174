"""`text.zero-shot` against transformers' own pipeline on the same weights, and by the bundled encoder."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    RobertaForSequenceClassification,
    ZeroShotClassificationPipeline,
)

from consumers.inference.batching import Isolated
from consumers.inference.entailment import Entailment, entailment
from consumers.inference.ports import Input
from consumers.inference.resources import Inference, open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_embed import embed_text
from consumers.inference.text_zero_shot import classify_by_name
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_embed import EmbedText, TextEmbedded
from schemas.jobs.text_zero_shot import TEXT_ZERO_SHOT, TextZeroShotClassified, ZeroShotOptions, ZeroShotTexts
from schemas.texts import DEFAULT_MODEL
from tests.support.encoders import paragraphs, save, save_roberta, tiny_bert, tiny_distilbert
from tests.support.inference import OWNER, Shelf, task

TEXTS = [*sorted(paragraphs(), key=len)[:40:5], "word " * 600]
LABELS = ["waiting", "neural networks", "water", "the end of a connection"]
NAMES = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
WIDE: dict[str, Any] = {
    "id2label": NAMES,
    "label2id": {name: at for at, name in NAMES.items()},  # which the pipeline looks at
    "initializer_range": 0.2,
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("entailing")


@pytest.fixture(scope="session")
async def inference(models: Path) -> AsyncIterator[Inference]:
    threads = torch.get_num_threads()
    async with open_inference(InferenceSettings(models_dir=models, device="cpu", dtype="float32"), Shelf()) as opened:
        yield opened
    torch.set_num_threads(threads)


async def run(
    inference: Inference, model: str, texts: Sequence[str], labels: Sequence[str], **options: Any
) -> TextZeroShotClassified:
    params = ZeroShotTexts(
        model=model, inputs=list(texts), candidate_labels=list(labels), options=ZeroShotOptions(**options)
    )
    return cast(TextZeroShotClassified, await classify_by_name.run(task(params), inference))


def directly(path: Path, labels: Sequence[str], limit: int, **options: Any) -> list[dict[str, Any]]:
    tokenizer = AutoTokenizer.from_pretrained(path, model_max_length=limit)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    if model.config.model_type != "bert":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    make: Any = ZeroShotClassificationPipeline
    pipeline = make(model=model.eval(), tokenizer=tokenizer, device="cpu")
    found: list[dict[str, Any]] = pipeline(TEXTS, candidate_labels=list(labels), **options)
    return found


def saved_bert(path: Path) -> Path:
    return save(tiny_bert(BertForSequenceClassification, **WIDE), path)


def saved_roberta(path: Path) -> Path:
    return save_roberta(RobertaForSequenceClassification, path, **WIDE)


def saved_distilbert(path: Path) -> Path:
    return save(tiny_distilbert(DistilBertForSequenceClassification, **WIDE), path)


@pytest.mark.parametrize(
    ("saved", "limit", "padded"),
    [(saved_bert, 512, False), (saved_roberta, 128, False), (saved_distilbert, 512, True)],
)
async def test_scores_equal_those_of_transformers(
    inference: Inference,
    models: Path,
    subtests: pytest.Subtests,
    saved: Callable[[Path], Path],
    limit: int,
    *,
    padded: bool,
) -> None:
    path = saved(models / saved.__name__)
    cases: list[tuple[list[str], dict[str, Any]]] = [
        (LABELS, {}),
        (LABELS, {"multi_label": True, "hypothesis_template": "It is about {}."}),
        (LABELS[:1], {}),
    ]
    for labels, options in cases:
        with subtests.test(str(options) + str(len(labels))):
            result = await run(inference, path.name, TEXTS, labels, **options)
            expected = await asyncio.to_thread(directly, path, labels, limit, **options)
            for found, wanted in zip(result.outputs, expected, strict=True):
                by_label = dict(zip(wanted["labels"], wanted["scores"], strict=True))
                assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
                np.testing.assert_allclose(
                    [each.score for each in found], [by_label[each.label] for each in found], atol=1e-4
                )
            assert np.ptp([each.score for found in result.outputs for each in found]) > 0.01
            assert result.truncated >= 1
            assert result.model.method == "entailment"
    async with inference.model(TEXT_ZERO_SHOT, OWNER, path.name) as model:
        assert model.facts.padded is padded


async def test_the_bundled_encoder_compares_meanings(inference: Inference) -> None:
    texts = ["The river was frozen all winter.", "She scored twice in the second half."]
    result = await run(inference, DEFAULT_MODEL, texts, ["football", "weather", "cooking"], top_k=2)
    assert [next(each.label for each in found) for found in result.outputs] == ["weather", "football"]
    assert (result.model.method, len(result.outputs[0]), result.truncated) == ("similarity", 2, 0)
    sentences = [f"This example is {label}." for label in ("football", "weather", "cooking")]
    embedded = await embed_text.run(task(EmbedText(inputs=[*texts, *sentences])), inference)
    assert isinstance(embedded, TextEmbedded)
    vectors = np.array(embedded.outputs)
    powers = np.exp(12 * vectors[:2] @ vectors[2:].T)
    expected = np.sort(powers / powers.sum(axis=1, keepdims=True), axis=1)[:, :0:-1]
    found = [[each.score for each in output] for output in result.outputs]
    np.testing.assert_allclose(found, expected, atol=1e-4)


async def test_jobs_of_pairs_share_batches_and_only_what_is_wrong_fails(
    inference: Inference, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while another job's pairs cannot be computed."""
    saved_bert(models / "shared")
    texts, poison = TEXTS[:4], "poison " * 7
    alone = [await run(inference, "shared", [text], LABELS) for text in texts]
    async with inference.model(TEXT_ZERO_SHOT, OWNER, "shared") as model:
        read = model.reader.read_each([poison], [f"This example is {label}." for label in LABELS])
        forward = model._batcher._compute
        bad = tuple(read[1].input.ids)

        async def failing(batch: Sequence[Input], limit_s: float) -> Isolated:
            done = await forward(batch, limit_s)
            said = zip(batch, done.outcomes, strict=True)
            return replace(done, outcomes=[ValueError() if tuple(one.ids) == bad else each for one, each in said])

        monkeypatch.setattr(model._batcher, "_compute", failing)
    jobs = [run(inference, "shared", [text], LABELS) for text in texts]
    *together, failed = await asyncio.gather(
        *jobs, run(inference, "shared", [poison], LABELS), return_exceptions=True
    )
    assert isinstance(failed, Exception)
    for found, wanted in zip(together, alone, strict=True):
        assert not isinstance(found, BaseException)
        assert [each.label for each in found.outputs[0]] == [each.label for each in wanted.outputs[0]]


async def test_what_knows_no_entailment_is_refused(inference: Inference, models: Path) -> None:
    save(tiny_bert(BertForSequenceClassification, id2label={0: "calm", 1: "wild"}), models / "moods")
    save(tiny_bert(), models / "headless")
    names = {0: "other", 1: "entailment", 2: "neutral"}
    save(tiny_bert(BertForSequenceClassification, id2label=names), models / "vague")
    for name, says, options in [
        ("moods", "has no label for entailment, only calm, wild; take a model", {}),
        ("headless", "has no label for entailment", {}),
        ("vague", "has no label for contradiction", {"multi_label": True}),
    ]:
        with pytest.raises(Reject, match=says) as refused:
            await run(inference, name, TEXTS[:1], LABELS, **options)
        assert (refused.value.type, refused.value.detail[:7]) == ("model-unsupported", "/model:")


async def test_inputs_and_labels_that_do_not_fit_are_refused(inference: Inference, models: Path) -> None:
    saved_roberta(models / "short")
    with pytest.raises(Reject, match=r"^/inputs/1: longer than the 128 tokens"):
        await run(inference, "short", ["hello", "word " * 600], LABELS, truncate=False)
    with pytest.raises(Reject, match=r"^/candidate_labels/1: with the template it leaves no room"):
        await run(inference, "short", ["hello"], ["a", "?! " * 60])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"candidate_labels": []}, ("candidate_labels",)),
        ({"candidate_labels": ["a", "b", "a"]}, ("candidate_labels",)),
        ({"candidate_labels": ["a", " "]}, ("candidate_labels", 1)),
        ({"candidate_labels": [str(at) for at in range(101)]}, ("candidate_labels",)),
        ({"options": {"hypothesis_template": "no place"}}, ("options", "hypothesis_template")),
        ({"options": {"hypothesis_template": "{} and {}"}}, ("options", "hypothesis_template")),
        ({"inputs": ["a"] * 501, "candidate_labels": [str(at) for at in range(20)]}, ("candidate_labels",)),
        ({"options": {"multi_label": True}}, ("options",)),
        ({"candidate_labels": ["one"]}, ("candidate_labels",)),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(given: dict[str, Any], field: tuple[str | int, ...]) -> None:
    good: dict[str, Any] = {"inputs": ["a"], "candidate_labels": ["a", "b"]}
    assert ZeroShotTexts.model_validate(good).model == DEFAULT_MODEL
    with pytest.raises(ValidationError) as refused:
        ZeroShotTexts.model_validate(good | given)
    assert [error["loc"] for error in refused.value.errors()] == [field]


def test_labels_are_known_by_their_names() -> None:
    assert entailment(["CONTRADICTION", "NEUTRAL", "ENTAILMENT"]) == Entailment(2, 0)
    assert entailment(["entailment", "neutral", "contradiction"]) == Entailment(0, 2)
    assert entailment(["entailment", "not_entailment"]) == Entailment(0, 1)
    assert entailment(["false", "entailment"]) == Entailment(1, 0)
    assert entailment(["entailment", "a", "b"]) == Entailment(0, None)
