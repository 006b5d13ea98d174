"""`text.fill-mask` against transformers' own pipeline on the same weights."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertForMaskedLM,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    FillMaskPipeline,
    ModernBertConfig,
    ModernBertForMaskedLM,
    MPNetConfig,
    MPNetForMaskedLM,
    RobertaForMaskedLM,
)

from consumers.encoders.layout import read_layout
from consumers.encoders.sources import ModelSource
from consumers.encoders.threads import threads
from consumers.inference import filling
from consumers.inference.engine import Engine
from consumers.inference.ports import Files
from consumers.inference.resources import Inference, open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_fill_mask import fill_mask
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_fill_mask import TEXT_FILL_MASK, BlanksFilled, FillMask, FillMaskOptions
from schemas.texts import DEFAULT_MODEL
from tests.support.encoders import made, paragraphs, save, save_roberta, tiny_bert, tiny_distilbert
from tests.support.inference import OWNER, Shelf, task

BERT_TEXTS = [
    "The mill race feeds the [MASK].",
    "[MASK]",
    "A [MASK] of the [MASK], and [MASK]",
    *(f"{text[:100]} [MASK] {text[-60:]}" for text in paragraphs()[:8]),
]
ROBERTA_TEXTS = [text.replace("[MASK]", "<mask>") for text in BERT_TEXTS]
SMALL: dict[str, Any] = {
    "vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64
}  # fmt: skip


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fillers")


@pytest.fixture(scope="session")
async def inference(models: Path) -> AsyncIterator[Inference]:
    threads = torch.get_num_threads()
    async with open_inference(InferenceSettings(models_dir=models, device="cpu", dtype="float32"), Shelf()) as opened:
        yield opened
    torch.set_num_threads(threads)


async def run(inference: Inference, model: str, *texts: str, **options: Any) -> BlanksFilled:
    params = FillMask(model=model, inputs=list(texts), options=FillMaskOptions(**options))
    return cast(BlanksFilled, await fill_mask.run(task(params), inference))


def directly(path: Path, texts: Sequence[str], **options: Any) -> list[list[list[dict[str, Any]]]]:
    """For each text and each blank."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForMaskedLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    if model.config.model_type in ("distilbert", "mpnet", "modernbert"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    make: Any = FillMaskPipeline
    pipeline = make(model=model, tokenizer=tokenizer, device="cpu")
    found = [pipeline(text, **options) for text in texts]
    return [each if isinstance(each[0], list) else [each] for each in found]


def saved_bert(path: Path) -> Path:
    return save(tiny_bert(BertForMaskedLM, initializer_range=0.3), path)


def saved_roberta(path: Path) -> Path:
    return save_roberta(RobertaForMaskedLM, path, initializer_range=0.3)


def saved_distilbert(path: Path) -> Path:
    return save(tiny_distilbert(DistilBertForMaskedLM, initializer_range=0.3), path)


def saved_electra(path: Path) -> Path:
    return save(made(ElectraForMaskedLM, ElectraConfig(**SMALL, embedding_size=16, initializer_range=0.3)), path)


def saved_albert(path: Path) -> Path:
    return save(made(AlbertForMaskedLM, AlbertConfig(**SMALL, embedding_size=16, initializer_range=0.3)), path)


def saved_mpnet(path: Path) -> Path:
    return save(made(MPNetForMaskedLM, MPNetConfig(**SMALL, initializer_range=0.3)), path)


def saved_modernbert(path: Path) -> Path:
    config = ModernBertConfig(**SMALL, initializer_range=0.3, pad_token_id=0, cls_token_id=101, sep_token_id=102)
    return save(made(ModernBertForMaskedLM, config), path)


@pytest.mark.parametrize(
    ("saved", "texts", "padded"),
    [
        (saved_bert, BERT_TEXTS, False),
        (saved_roberta, ROBERTA_TEXTS, False),
        (saved_distilbert, BERT_TEXTS, True),
        (saved_electra, BERT_TEXTS, True),
        (saved_albert, BERT_TEXTS, True),
        (saved_mpnet, BERT_TEXTS, True),
        (saved_modernbert, BERT_TEXTS, True),
    ],
)
async def test_candidates_equal_those_of_transformers(
    inference: Inference, models: Path, saved: Callable[[Path], Path], texts: list[str], *, padded: bool
) -> None:
    path = saved(models / saved.__name__)
    result = await run(inference, path.name, *texts)
    expected = await asyncio.to_thread(directly, path, texts)
    for text, blanks, wanted in zip(texts, result.outputs, expected, strict=True):
        assert [text[blank.start : blank.end] in ("[MASK]", "<mask>") for blank in blanks] == [True] * len(wanted)
        for blank, candidates in zip(blanks, wanted, strict=True):
            scores = [each["score"] for each in candidates]
            assert [each.score for each in blank.candidates] == pytest.approx(scores, abs=1e-4)
            if min(first - second for first, second in itertools.pairwise(scores)) > 1e-5:
                assert [each.token for each in blank.candidates] == [each["token"] for each in candidates]
                assert [each.text for each in blank.candidates] == [each["token_str"] for each in candidates]
    async with inference.model(TEXT_FILL_MASK, OWNER, path.name) as model:
        assert model.facts.padded is padded


async def test_targets_are_judged_among_all_tokens(inference: Inference, models: Path) -> None:
    path = saved_bert(models / "targets")
    targets = ["wheel", "Water", "##ing", "wheel"]
    result = await run(inference, "targets", *BERT_TEXTS[:3], targets=targets, top_k=2)
    expected = directly(path, BERT_TEXTS[:3], targets=["wheel", "water", "##ing"], top_k=2)
    for blanks, wanted in zip(result.outputs, expected, strict=True):
        for blank, candidates in zip(blanks, wanted, strict=True):
            assert [each.token for each in blank.candidates] == [each["token"] for each in candidates]
            assert [each.score for each in blank.candidates] == pytest.approx(
                [e["score"] for e in candidates], abs=1e-6
            )
    for wrong in ("watermillrace", "東京都", "☃"):
        with pytest.raises(Reject, match=rf"^/options/targets/1: '{wrong}' is no token of this model") as refused:
            await run(inference, "targets", BERT_TEXTS[0], targets=["wheel", wrong])
        assert refused.value.type == "invalid-input"


async def test_a_blank_may_be_written_as_another_model_writes_it(inference: Inference, models: Path) -> None:
    saved_bert(models / "ways")
    ways = await run(inference, "ways", "A <mask> and [MASK].", "A [MASK] and <mask>.")
    first, second = ways.outputs
    assert [(blank.start, blank.end) for blank in first] == [(2, 8), (13, 19)]
    for one, other in zip(first, second, strict=True):
        assert [each.token for each in one.candidates] == [each.token for each in other.candidates]


async def test_sequences_are_written_as_the_tokens_join(inference: Inference, models: Path) -> None:
    saved_bert(models / "joins")
    result = await run(inference, "joins", "The mill [MASK] stands", "(<mask>)", targets=["##s", "race"])
    sequences = [{each.text: each.sequence for each in blanks[0].candidates} for blanks in result.outputs]
    assert sequences == [
        {"##s": "The mills stands", "race": "The mill race stands"},
        {"##s": "(s)", "race": "(race)"},
    ]
    saved_roberta(models / "bytes")
    result = await run(inference, "bytes", "The mill <mask> stands", "[MASK]", "a[MASK]", targets=["s", " the", "."])
    sequences = [{each.text: each.sequence for each in blanks[0].candidates} for blanks in result.outputs]
    assert sequences == [
        {"s": "The mills stands", " the": "The mill the stands", ".": "The mill. stands"},
        {"s": "s", " the": "the", ".": "."},
        {"s": "as", " the": "a the", ".": "a."},
    ]


def test_only_blanks_meet_the_vocabulary(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some at a time, packed as well as padded."""
    seen: list[int] = []
    through = filling._through

    def counting(model: Any, names: Sequence[str], states: torch.Tensor) -> torch.Tensor:
        seen.append(len(states))
        return through(model, names, states)

    monkeypatch.setattr(filling, "_through", counting)
    with threads(1):
        engine = Engine(InferenceSettings(device="cpu", threads=1))
        for saved in (saved_bert, saved_distilbert):
            source = ModelSource("counted", saved(models / f"counted-{saved.__name__}"))
            facts = engine.load(1, Files(TEXT_FILL_MASK.name, source, read_layout(source)), "float32")
            seen.clear()
            read = facts.reader.read(["word " * 100 + "[MASK] " * 70, "[MASK] word"], [])
            engine.forward(1, [one.input for one in read])
            assert (sum(seen), max(seen)) == (71, 64)


async def test_texts_without_blanks_or_with_some_out_of_reach_are_refused(inference: Inference, models: Path) -> None:
    saved_bert(models / "blanks")
    long = "word " * 600
    for texts, says in [
        (["[MASK]", "nothing missing"], r"^/inputs/1: there is no blank in it; write \[MASK\]"),
        (["[MASK] " + long + "[MASK]"], r"^/inputs/0: of its 2 blanks only 1 lie within the 512 tokens"),
        (["[MASK]" + "x" * 9_000] * 200, r"^/inputs: with their blanks filled, they come to 9,00\d,\d+ characters"),
    ]:
        with pytest.raises(Reject, match=says):
            await run(inference, "blanks", *texts)
    with pytest.raises(Reject, match=r"^/inputs/0: longer than the 512 tokens"):
        await run(inference, "blanks", "[MASK] " + long, truncate=False)
    assert (await run(inference, "blanks", "[MASK] " + long)).truncated == 1


async def test_what_fills_no_blanks_is_refused(inference: Inference, models: Path) -> None:
    save(tiny_bert(), models / "headless")
    path = saved_bert(models / "unmasked")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (path / name).unlink()
    config = save(tiny_bert(), models / "unknown") / "config.json"
    config.write_text(config.read_text().replace('"bert"', '"convbert"'))
    for name, says in [
        ("headless", "weights without cls"),
        (DEFAULT_MODEL, "weights without cls"),
        ("unknown", "is a convbert; blanks are filled by albert, bert"),
    ]:
        with pytest.raises(Reject, match=says) as refused:
            await run(inference, name, "[MASK]")
        assert refused.value.type == "model-unsupported"
