"""`text.embed` with real weights, against transformers run directly in float32."""

import asyncio
import json
import math
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from consumers.inference.batcher import InputFailed
from consumers.inference.batching import NotFinite
from consumers.inference.calibration import pays
from consumers.inference.ports import Calibration
from consumers.inference.registered import Registry
from consumers.inference.resources import Inference, open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_embed import embed_text, rounded
from consumers.inference.text_model import verdict
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.jobs.text_embed import TEXT_EMBED, EmbedOptions, EmbedText, TextEmbedded
from schemas.texts import DEFAULT_MODEL
from tests.support.encoders import BUNDLED, paragraphs, save, tiny_bert, tiny_distilbert, tiny_roberta
from tests.support.inference import OWNER, task

NO_REGISTRY = cast(Registry, None)
SENTENCES = ["A man is eating food.", "Someone has a meal.", "Quorum queues replicate with Raft."]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
async def inference(models: Path) -> AsyncIterator[Inference]:
    settings = InferenceSettings(models_dir=models, device="cpu", dtype="float32")
    async with open_inference(settings, NO_REGISTRY) as opened:
        yield opened


@pytest.fixture(scope="session", autouse=True)
def _torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


async def run(inference: Inference, inputs: list[str], model: str = DEFAULT_MODEL, **options: bool) -> TextEmbedded:
    params = EmbedText(model=model, inputs=inputs, options=EmbedOptions(**options))
    result = await embed_text.run(task(params), inference)
    assert isinstance(result, TextEmbedded)
    return result


def directly(path: Path, texts: list[str], max_tokens: int = 256, *, unit: bool = True) -> NDArray[np.float32]:
    """One text at a time through transformers: the mean over its tokens, of length one if asked."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    rows = []
    with torch.inference_mode():
        for text in texts:
            encoded = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
            row = model(input_ids=encoded["input_ids"]).last_hidden_state[0].mean(dim=0)
            rows.append(torch.nn.functional.normalize(row, dim=0) if unit else row)
    found: NDArray[np.float32] = torch.stack(rows).numpy()
    return found


async def test_vectors_equal_those_of_transformers(inference: Inference) -> None:
    outputs = np.array((await run(inference, SENTENCES)).outputs)
    np.testing.assert_allclose(outputs, directly(BUNDLED, SENTENCES), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), 1, atol=1e-5)


async def test_similar_sentences_are_near(inference: Inference) -> None:
    meal, also_meal, other = np.array((await run(inference, SENTENCES)).outputs)
    assert meal @ also_meal > 0.5 > 0.2 > meal @ other


async def test_order_and_values_do_not_depend_on_the_batch(inference: Inference) -> None:
    texts = paragraphs()
    expected = directly(BUNDLED, texts)
    together = np.array((await run(inference, texts)).outputs)
    np.testing.assert_allclose(together, expected, atol=1e-5)
    shuffled = random.Random(3).sample(range(len(texts)), len(texts))
    jobs = await asyncio.gather(*(run(inference, [texts[index]]) for index in shuffled))
    alone = np.array([job.outputs[0] for job in jobs])
    np.testing.assert_allclose(alone, expected[shuffled], atol=1e-5)


async def test_truncation_is_counted(inference: Inference) -> None:
    short, exact, long = "word", "word " * 254, "word " * 255
    result = await run(inference, [short, exact, long])
    assert result.truncated == 1
    assert result.tokens == 3 + 256 + 256
    assert result.outputs[1] == pytest.approx(result.outputs[2], abs=1e-5)


async def test_the_result_says_which_model_answered(inference: Inference) -> None:
    result = await run(inference, ["hello"])
    assert result.model.model_dump() == {
        "name": DEFAULT_MODEL,
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "dimensions": 384,
        "dtype": "float32",
        "device": "cpu",
    }
    assert result.timing.run_s > 0


async def test_blank_text_and_emoji_have_vectors(inference: Inference) -> None:
    outputs = (await run(inference, [" ", "🦉🦉", "\x00", "a" * 10_000])).outputs
    assert np.isfinite(np.array(outputs)).all()


def test_rounding_leaves_seven_decimals() -> None:
    assert rounded(np.array([[0.123456789, -1e-9]], np.float32)) == [[0.1234568, -0.0]]


@pytest.mark.parametrize(("make", "padded"), [(tiny_bert, False), (tiny_roberta, False), (tiny_distilbert, True)])
async def test_other_architectures_equal_transformers_too(
    inference: Inference, models: Path, make: Callable[[], PreTrainedModel], *, padded: bool
) -> None:
    path = save(make(), models / make.__name__)
    texts = paragraphs()
    result = await run(inference, texts, make.__name__, normalize=False)
    limit = 65 if make is tiny_roberta else 512  # its first position comes after that of the padding
    np.testing.assert_allclose(np.array(result.outputs), directly(path, texts, limit, unit=False), atol=1e-5)
    async with inference.model(TEXT_EMBED, OWNER, make.__name__) as model:
        assert model.facts.padded is padded


@pytest.mark.parametrize("how", ["cls", "max"])
async def test_cls_and_max_pooling(inference: Inference, models: Path, how: str) -> None:
    path = models / f"pooled-{how}"
    shutil.copytree(BUNDLED, path)
    mode = {"cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}[how]
    (path / "1_Pooling" / "config.json").write_text(json.dumps({mode: True}))
    outputs = np.array((await run(inference, SENTENCES, path.name)).outputs)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path).eval()
    with torch.inference_mode():
        for output, text in zip(outputs, SENTENCES, strict=True):
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            pooled = states[0] if how == "cls" else states.amax(dim=0)
            np.testing.assert_allclose(output, pooled / pooled.norm(), atol=1e-5)


def corrupt(path: Path) -> None:
    (path / "model.safetensors").write_bytes(b"\x00" * 1_000)


def cut_short(path: Path) -> None:
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def claim_another_layer(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))


def claim_another_size(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))


def claim_unknown_type(path: Path) -> None:
    (path / "config.json").write_text('{"model_type": "unheard-of"}')


def bring_code(path: Path) -> None:
    (path / "evil.py").write_text(f"open({str(path / 'ran')!r}, 'w')")
    config = {"model_type": "unheard-of", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    (path / "config.json").write_text(json.dumps(config))


def break_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    "damage",
    [corrupt, cut_short, claim_another_layer, claim_another_size, claim_unknown_type, bring_code, break_tokenizer],
)
async def test_a_damaged_model_is_refused(inference: Inference, models: Path, damage: Callable[[Path], None]) -> None:
    path = save(tiny_bert(), models / f"damaged-{damage.__name__}")
    damage(path)
    with pytest.raises(Reject, match=r"^/model: ") as refused:
        await run(inference, ["hello"], path.name)
    assert refused.value.type == "model-unsupported"
    assert not (path / "ran").exists()


async def test_a_repaired_model_loads(inference: Inference, models: Path) -> None:
    path = save(tiny_bert(), models / "repaired")
    good = (path / "model.safetensors").read_bytes()
    corrupt(path)
    with pytest.raises(Reject):
        await run(inference, ["hello"], "repaired")
    (path / "model.safetensors").write_bytes(good)
    assert (await run(inference, ["hello"], "repaired")).model.dimensions == 32


async def test_overwriting_the_file_of_a_loaded_model_does_not_change_it(inference: Inference, models: Path) -> None:
    path = save(tiny_bert(), models / "overwritten")
    before = await run(inference, ["hello"], "overwritten")
    with (path / "model.safetensors").open("r+b") as file:
        file.truncate(0)
    assert (await run(inference, ["hello"], "overwritten")).outputs == before.outputs


async def test_a_token_outside_the_vocabulary_fails_its_job_only(inference: Inference, models: Path) -> None:
    save(tiny_bert(vocab_size=5_000), models / "small-vocabulary")
    cat, kitten, fine = await asyncio.gather(
        *(run(inference, [text], "small-vocabulary") for text in ("the cat", "kitten", "the men")),
        return_exceptions=True,
    )
    assert isinstance(cat, TextEmbedded)
    assert isinstance(kitten, InputFailed)
    assert isinstance(kitten.__cause__, IndexError)
    assert isinstance(fine, TextEmbedded)


async def test_weights_that_overflow_are_the_inputs_failure(inference: Inference, models: Path) -> None:
    broken = tiny_bert()
    embeddings = broken.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    embeddings.weight.data[7592] = torch.inf  # the token of "hello"
    save(broken, models / "overflows")
    good, bad = await asyncio.gather(
        run(inference, ["bye"], "overflows"), run(inference, ["hello"], "overflows"), return_exceptions=True
    )
    assert isinstance(good, TextEmbedded)
    assert isinstance(bad, Reject)
    assert bad.type == "input-unusable"
    assert bad.detail.startswith("/inputs/0: ")


def failed_by(cause: Exception) -> Exception:
    error = InputFailed(3)
    error.__cause__ = cause
    return verdict(error, 3)


def test_verdicts() -> None:
    assert isinstance(failed_by(NotFinite("inf")), Reject)
    assert isinstance(failed_by(MemoryError()), RetryLater)
    assert isinstance(failed_by(IndexError()), InputFailed)


async def test_bfloat16_is_close(models: Path) -> None:
    settings = InferenceSettings(models_dir=models, device="cpu", dtype="bfloat16")
    async with open_inference(settings, NO_REGISTRY) as inference:
        outputs = np.array((await run(inference, SENTENCES)).outputs)
        async with inference.model(TEXT_EMBED, OWNER, DEFAULT_MODEL) as model:
            assert not model.facts.padded
    cosines = (outputs * directly(BUNDLED, SENTENCES)).sum(axis=1)
    assert cosines.min() > 0.999


def test_bfloat16_is_taken_where_it_is_faster_and_says_the_same() -> None:
    assert pays(Calibration(speedup=2.0, least_cosine=0.9999))
    assert not pays(Calibration(speedup=1.0, least_cosine=1.0))
    assert not pays(Calibration(speedup=3.0, least_cosine=0.99))
    assert not pays(Calibration(speedup=3.0, least_cosine=math.nan))
