"""Giving answers again, with a Redis in memory and a model that counts what it reads."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from consumers.inference.answers import Answers, Worth, remembered
from consumers.inference.batcher import InputFailed
from consumers.runtime.handler import Task
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_classify import TEXT_CLASSIFY, ClassifyOptions, ClassifyText, LabelScore, TextClassified
from schemas.jobs.text_embed import TEXT_EMBED, EmbedModel, EmbedOptions, EmbedText, TextEmbedded
from schemas.texts import LabellingModel, Timing
from storage.answers import Answering, Kept, KeptAnswers, keys_of, read, result_of, written
from tests.support.inference import Shelf, task

MODEL = EmbedModel(name="m", sha256="a" * 64, dimensions=2, dtype="float32", device="cpu")


class InMemory(KeptAnswers):
    """Keeps at once."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    async def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        return [read(self.values[key]) if key in self.values else None for key in keys]

    def keep(self, answering: Answering, model: Any, answers: Any) -> None:
        self.values.update({key: written(kept) for key, kept in answers.items()})


@dataclass
class Embedder:
    """A vector of the length of each text; long ones are cut, one is refused."""

    model: EmbedModel = MODEL
    read: list[list[str]] = field(default_factory=list)

    async def run(self, task: Task[EmbedText]) -> TextEmbedded:
        inputs = task.params.inputs
        self.read.append(list(inputs))
        for index, text in enumerate(inputs):
            if text == "bad":
                raise Reject(f"/inputs/{index}: bad")
            if text == "poison":
                raise InputFailed(index)
        cut = [index for index, text in enumerate(inputs) if len(text) > 5]
        return TextEmbedded(
            outputs=[[float(len(text)), -0.1234567] for text in inputs],
            model=self.model,
            tokens=len(inputs),
            truncated=len(cut),
            truncated_inputs=cut,
            timing=Timing(queue_s=0.1, run_s=0.2),
        )


@dataclass
class Pool:
    kept: InMemory = field(default_factory=InMemory)
    embedder: Embedder = field(default_factory=Embedder)

    def __post_init__(self) -> None:
        self.answers = Answers(self.kept, Shelf())

    async def embed(self, *texts: str, principal: str = "owner", normalize: bool = True, **envelope: Any) -> Any:
        asked = task(EmbedText(model="m", inputs=list(texts), options=EmbedOptions(normalize=normalize)))
        asked = Task(
            asked.params, asked.envelope.model_copy(update={"principal": principal} | envelope), asked.progress
        )
        return await self.answers.answer(asked, self.embedder.run)


async def test_only_what_was_not_asked_before_is_read() -> None:
    pool = Pool()
    first = await pool.embed("a", "too long", "b")
    again = await pool.embed("c", "too long", "a", "also long")
    assert pool.embedder.read == [["a", "too long", "b"], ["c", "also long"]]
    assert [first.cached, again.cached] == [0, 2]
    assert again.outputs == [[1.0, -0.1234567], [8.0, -0.1234567], [1.0, -0.1234567], [9.0, -0.1234567]]
    assert (again.tokens, again.truncated, again.truncated_inputs) == (2, 2, [1, 3])
    assert again.timing.run_s == 0.2


async def test_when_everything_is_kept_no_model_is_asked() -> None:
    pool = Pool()
    await pool.embed("a", "too long")
    again = await pool.embed("too long", "a", "a")
    assert len(pool.embedder.read) == 1
    assert again.model_dump() == {
        "outputs": [[8.0, -0.1234567], [1.0, -0.1234567], [1.0, -0.1234567]],
        "model": MODEL.model_dump(),
        "tokens": 0,
        "truncated": 1,
        "truncated_inputs": [0],
        "cached": 3,
        "degraded": False,
        "timing": {"queue_s": 0.0, "run_s": 0.0},
    }


async def test_neither_other_options_nor_other_people_share_an_answer() -> None:
    pool = Pool()
    await pool.embed("a")
    for other in ({"normalize": False}, {"principal": "another"}):
        assert (await pool.embed("a", **other)).cached == 0
        assert (await pool.embed("a", **other)).cached == 1


async def test_another_model_of_the_same_name_answers_for_itself() -> None:
    pool = Pool()
    await pool.embed("a")
    pool.embedder.model = MODEL.model_copy(update={"setup_sha256": "b" * 64})
    mixed = await pool.embed("a", "b")  # which of them it is shows when it answers
    assert pool.embedder.read[1:] == [["b"], ["a", "b"]]
    assert (mixed.cached, mixed.model) == (0, pool.embedder.model)
    assert (await pool.embed("a", "b")).cached == 2


@pytest.mark.parametrize(("bad", "error"), [("bad", Reject), ("poison", InputFailed)])
async def test_an_error_names_the_input_by_its_place_among_all(bad: str, error: type[Exception]) -> None:
    pool = Pool()
    await pool.embed("a", "b")
    with pytest.raises(error, match="/inputs/2"):
        await pool.embed("a", "b", bad)


async def test_no_cache_asks_anew_and_keeps_no_store_does_neither() -> None:
    pool = Pool()
    handler = remembered(lambda task, _: pool.embedder.run(task))

    class Resources:
        answers = pool.answers

    async def ask(text: str, control: str | None) -> int:
        asked = task(EmbedText(model="m", inputs=[text]))
        envelope = asked.envelope.model_copy(update={"cache_control": control})
        result = await handler(Task(asked.params, envelope, asked.progress), Resources())  # type: ignore[arg-type]
        return int(result.cached)

    assert [await ask("a", control) for control in ("no-store", None, "no-cache", None)] == [0, 0, 0, 1]
    await ask("b", "no-store")
    assert [await ask("b", control) for control in ("no-cache", None, "no-store")] == [0, 1, 0]


async def test_a_registered_model_is_known_by_its_version() -> None:
    """Aliases move: what one version said is not what the next one says."""
    shelf = Shelf()
    shelf.add("m", b"weights")
    answers, calls = Answers(InMemory(), shelf), 0

    async def classify(asked: Task[ClassifyText]) -> TextClassified:
        nonlocal calls
        calls += 1
        found = await shelf.find("owner", asked.params.model)
        model = LabellingModel(name=str(found), sha256=found.file.sha256, labels=1, dtype="float32", device="cpu")
        outputs = [[LabelScore(label="x", score=0.5)] for _ in asked.params.inputs]
        return TextClassified(outputs=outputs, model=model, tokens=1, truncated=0, timing=Timing(queue_s=0, run_s=0))

    async def ask() -> TextClassified:
        params = ClassifyText(model="registry:m", inputs=["a"], options=ClassifyOptions(top_k=1))
        found: TextClassified = await answers.answer(task(params), classify)
        return found

    first, again = await ask(), await ask()
    assert (first.cached, again.cached, calls) == (0, 1, 1)
    assert again.outputs == first.outputs
    shelf.version = "1" * 12
    assert ((await ask()).cached, calls) == (0, 2)


def test_while_nothing_comes_again_only_a_sample_is_looked_for() -> None:
    worth = Worth()
    unique = [f"text {number}" for number in range(10_000)]
    assert len(worth.choose(unique)) == len(unique)
    worth.learn(512, 25)
    sample = list(worth.choose(unique))
    assert len(sample) == pytest.approx(len(unique) / 32, rel=0.3)
    assert list(worth.choose(unique)) == sample
    worth.learn(512, 30)  # the sample comes again, so the rest does as well
    assert len(worth.choose(unique)) == len(unique)


@pytest.mark.parametrize(
    "output",
    [
        [0.1234567, -1.0, 0.0, 5e-7, 214.7],
        [1e6, -0.25],  # too large for four bytes
        [],
        [{"label": "a", "score": 0.1234567}],
        {"answer": "wheel", "start": 3},
        "text",
    ],
)
@pytest.mark.parametrize("truncated", [True, False])
def test_an_answer_is_read_as_it_was_written(output: Any, truncated: bool) -> None:
    assert read(written(Kept(output, truncated))) == Kept(output, truncated)


def test_numbers_take_four_bytes() -> None:
    assert len(written(Kept([0.1] * 384, truncated=False))) == 1 + 384 * struct.calcsize("<i")


def test_a_key_is_of_all_that_an_output_follows_from() -> None:
    model, params = MODEL.model_dump(), EmbedText(model="m", inputs=["a", "b"])
    keys = keys_of(TEXT_EMBED, "owner", model, params, ["a", "b"])
    same = params.model_copy(update={"model": "alias", "inputs": ["b"]})
    assert keys_of(TEXT_EMBED, "owner", model | {"name": "alias", "device": "cuda"}, same, ["b"]) == keys[1:]
    otherwise = params.model_copy(update={"options": EmbedOptions(normalize=False)})
    others = [
        keys_of(TEXT_CLASSIFY, "owner", model, params, ["a", "b"]),
        keys_of(TEXT_EMBED, "another", model, params, ["a", "b"]),
        keys_of(TEXT_EMBED, "owner", model | {"sha256": "b" * 64}, params, ["a", "b"]),
        keys_of(TEXT_EMBED, "owner", model | {"dtype": "bfloat16"}, params, ["a", "b"]),
        keys_of(TEXT_EMBED, "owner", model, otherwise, ["a", "b"]),
    ]
    assert len({key for found in (keys, *others) for key in found}) == 2 * 6


def test_a_result_of_kept_answers_fits_its_contract() -> None:
    result = result_of(TEXT_EMBED, MODEL.model_dump(), [Kept([1.0, 2.0], truncated=True)], degraded=True)
    assert isinstance(result, TextEmbedded)
    assert (result.degraded, result.cached, result.truncated_inputs) == (True, 1, [0])
