"""`text.classify` against transformers run directly in float32, and against what training leaves behind."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
)

from consumers.inference.labelling import probabilities
from consumers.inference.ports import Labels
from consumers.inference.resources import Inference, open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_classify import best, classify_text
from consumers.inference.text_embed import embed_text
from consumers.learning.rows import frame_of
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_classify import TEXT_CLASSIFY, ClassifyOptions, ClassifyText, TextClassified
from schemas.jobs.text_embed import EmbedText, TextEmbedded
from schemas.texts import DEFAULT_MODEL
from tests.support.encoders import paragraphs, save, tiny_bert, tiny_distilbert, tiny_roberta
from tests.support.inference import OWNER, Shelf, task
from tests.support.learned import TEXTS, member, saved, trained

LABELS = {0: "calm", 1: "wild", 2: "odd"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(scope="session")
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="session")
async def inference(models: Path, shelf: Shelf) -> AsyncIterator[Inference]:
    threads = torch.get_num_threads()
    async with open_inference(InferenceSettings(models_dir=models, device="cpu", dtype="float32"), shelf) as opened:
        yield opened
    torch.set_num_threads(threads)


async def run(inference: Inference, inputs: Sequence[str], model: str, **options: Any) -> TextClassified:
    params = ClassifyText(model=model, inputs=list(inputs), options=ClassifyOptions(**options))
    result = await classify_text.run(task(params), inference)
    return cast(TextClassified, result)


def scores(result: TextClassified, labels: Sequence[Any]) -> NDArray[np.float64]:
    """In the order of `labels`."""
    by_label = [{str(one.label): one.score for one in output} for output in result.outputs]
    return np.array([[output[str(label)] for label in labels] for output in by_label])


def directly(path: Path, texts: Sequence[str], limit: int) -> torch.Tensor:
    """Logits of one text at a time."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        rows = [
            model.eval()(**tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")).logits[0]
            for text in texts
        ]
    return torch.stack(rows)


MAKES = [
    (tiny_bert, BertForSequenceClassification, 512, False),
    (tiny_roberta, RobertaForSequenceClassification, 65, False),
    (tiny_distilbert, DistilBertForSequenceClassification, 512, True),
]


@pytest.mark.parametrize(("tiny", "make", "limit", "padded"), MAKES)
async def test_probabilities_equal_those_of_transformers(
    inference: Inference, models: Path, tiny: Callable[..., PreTrainedModel], make: Any, limit: int, *, padded: bool
) -> None:
    # Wide weights, so that the texts differ by more than what is compared.
    path = save(tiny(make, id2label=LABELS, initializer_range=0.2), models / f"classifier-{tiny.__name__}")
    texts = paragraphs()
    result = await run(inference, texts, path.name)
    expected = directly(path, texts, limit).double().softmax(dim=1).numpy()
    np.testing.assert_allclose(scores(result, list(LABELS.values())), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.1
    async with inference.model(TEXT_CLASSIFY, OWNER, path.name) as model:
        assert model.facts.padded is padded


async def test_logits_do_not_depend_on_the_batch(inference: Inference, models: Path) -> None:
    path = save(tiny_bert(BertForSequenceClassification, id2label=LABELS), models / "batched")
    texts = paragraphs()[:20]
    jobs = await asyncio.gather(*(run(inference, [text], path.name) for text in texts))
    async with inference.model(TEXT_CLASSIFY, OWNER, path.name) as model:
        logits = np.stack((await model.answer(texts)).vectors)
    np.testing.assert_allclose(logits, directly(path, texts, 512).numpy(), atol=1e-5)
    alone = np.concatenate([scores(job, list(LABELS.values())) for job in jobs])
    np.testing.assert_allclose(alone, probabilities(logits, Labels()), atol=1e-5)


async def test_the_likeliest_labels_come_first_and_the_result_says_who_answered(
    inference: Inference, models: Path
) -> None:
    path = save(tiny_bert(BertForSequenceClassification, id2label=LABELS), models / "sorted")
    result = await run(inference, ["hello", "word " * 600], path.name, top_k=2)
    assert [len(output) for output in result.outputs] == [2, 2]
    assert all(first.score >= second.score for first, second in result.outputs)
    assert (result.tokens, result.truncated) == (3 + 512, 1)
    weights = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    assert result.model.model_dump() == {
        "name": "sorted",
        "sha256": weights,
        "labels": 3,
        "dtype": "float32",
        "device": "cpu",
    }


async def test_each_label_stands_for_itself_when_a_text_may_have_several(inference: Inference, models: Path) -> None:
    several = tiny_bert(BertForSequenceClassification, id2label=LABELS, problem_type="multi_label_classification")
    path = save(several, models / "several")
    result = await run(inference, TEXTS, path.name)
    expected = directly(path, TEXTS, 512).double().sigmoid().numpy()
    np.testing.assert_allclose(scores(result, list(LABELS.values())), expected, atol=1e-5)


async def test_a_text_that_would_be_cut_can_be_refused(inference: Inference, models: Path) -> None:
    path = save(tiny_bert(BertForSequenceClassification, id2label=LABELS), models / "uncut")
    with pytest.raises(Reject, match=r"^/inputs/1: longer than the 512 tokens") as refused:
        await run(inference, ["hello", "word " * 600], path.name, truncate=False)
    assert refused.value.type == "input-too-long"


async def test_what_is_no_classifier_is_refused(inference: Inference, models: Path) -> None:
    save(tiny_bert(), models / "headless")
    save(tiny_bert(BertForSequenceClassification, num_labels=1), models / "number")
    for name, says in (("headless", "without classifier"), ("number", "gives a number"), (DEFAULT_MODEL, "without")):
        with pytest.raises(Reject, match=says) as refused:
            await run(inference, ["hello"], name)
        assert refused.value.type == "model-unsupported"


async def test_one_directory_can_embed_and_classify(inference: Inference, models: Path) -> None:
    save(tiny_bert(BertForSequenceClassification, id2label=LABELS), models / "both")
    embedded = await embed_text.run(task(EmbedText(model="both", inputs=["hello"])), inference)
    assert isinstance(embedded, TextEmbedded)
    assert embedded.model.dimensions == 32
    assert len((await run(inference, ["hello"], "both")).outputs[0]) == 3


@pytest.fixture
def base(models: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small encoder to fine-tune."""
    if not (models / "base").exists():
        save(tiny_bert(), models / "base")
    monkeypatch.setenv("MILLRACE_INFERENCE_MODELS_DIR", str(models))
    return "base"


@pytest.mark.parametrize(
    "trainers", [("transformer",), ("tfidf-linear",), ("transformer", "tfidf-linear")], ids="+".join
)
async def test_a_trained_model_says_the_same_as_where_it_was_trained(
    inference: Inference, shelf: Shelf, base: str, tmp_path: Path, trainers: tuple[str, ...]
) -> None:
    settings: dict[str, dict[str, Any]] = {"transformer": {"base_model": base, "epochs": 4, "learning_rate": 2e-3}}
    model = trained(*(member(name, **settings.get(name, {})) for name in trainers))
    content = saved(model, tmp_path)
    shelf.add("-".join(trainers), content)
    result = await run(inference, TEXTS, f"registry:{'-'.join(trainers)}")
    said = model.predict(frame_of([{"text": text} for text in TEXTS], model.signature))
    assert said.probabilities is not None
    np.testing.assert_allclose(scores(result, ["water", "fire"]), said.probabilities, atol=1e-5)
    assert [output[0].label for output in result.outputs] == said.values
    assert result.model.name == f"registry:{'-'.join(trainers)}@{'0' * 12}"
    assert result.model.sha256 == hashlib.sha256(content).hexdigest()
    single = trainers == ("transformer",)
    assert result.tokens == (62 if single else sum(map(len, TEXTS)))


async def test_a_model_that_takes_more_than_a_text_is_refused(
    inference: Inference, shelf: Shelf, tmp_path: Path
) -> None:
    shelf.add("two-columns", saved(trained(member("tfidf-linear"), columns=["text", "title"]), tmp_path))
    with pytest.raises(Reject, match="takes text, title") as refused:
        await run(inference, ["hello"], "registry:two-columns")
    assert refused.value.type == "model-unsupported"


async def test_a_damaged_file_is_refused(inference: Inference, shelf: Shelf) -> None:
    shelf.add("damaged", b"no archive")
    with pytest.raises(Reject, match="no archive of ours") as refused:
        await run(inference, ["hello"], "registry:damaged")
    assert refused.value.type == "model-unsupported"


def test_scores_are_sorted_cut_and_finite() -> None:
    labels = Labels(["a", 2, True])
    found = probabilities(np.array([[-1000, 1000, 0]], np.float32), labels)
    assert [(one.label, one.score) for one in best(found[0], labels, 2)] == [(2, 1.0), ("a", 0.0)]
    apart = probabilities(np.array([[-1000, 1000, 0]], np.float32), Labels(["a", "b", "c"], independent=True))
    assert apart.tolist() == [[0.0, 1.0, 0.5]]
