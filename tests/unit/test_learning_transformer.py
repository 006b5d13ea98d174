"""Fine-tuning: a few steps of a small encoder, the same after every interruption."""

import io
import json
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from consumers.encoders.reading import best_device
from consumers.learning import archive
from consumers.learning.archive import ModelBroken
from consumers.learning.finetuning import batches
from consumers.learning.finetuning.config import FineTuningConfig, Precision
from consumers.learning.finetuning.recipe import is_narrow, schedule
from consumers.learning.finetuning.state import FineTuning, is_frozen
from consumers.learning.plugins import Problem
from consumers.learning.registry import configured, trainers
from consumers.learning.trainers.tfidf_linear import TFIDF_LINEAR
from consumers.learning.trainers.transformer import TRANSFORMER
from consumers.runtime.verdicts import Reject
from schemas.learning import LearningTask
from tests.support.encoders import save, tiny_bert
from tests.support.learned import TARGET, TEXTS, matrix, problem, texts_frame

DATA = matrix(texts_frame(TEXTS))


@pytest.fixture(autouse=True)
def _base(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path_factory.mktemp("models")
    save(tiny_bert(), models / "base")
    monkeypatch.setenv("MILLRACE_INFERENCE_MODELS_DIR", str(models))
    monkeypatch.setattr(batches, "CHUNK_ROWS", 4)


def started(seed: int = 0, **settings: Any) -> FineTuning:
    config = TRANSFORMER.config(**{"base_model": "base", "epochs": 2, "batch_size": 2, "max_tokens": 16} | settings)
    return TRANSFORMER.start(config, problem(seed))


def fitted(state: FineTuning, chunks: int, *, interrupted: bool = False) -> FineTuning:
    for _ in range(chunks):
        if interrupted:
            state = TRANSFORMER.load(TRANSFORMER.dump(state))
        state = TRANSFORMER.fit(state, DATA, TARGET).state
    return state


def test_both_are_found() -> None:
    for name in ("transformer", "tfidf-linear"):
        assert LearningTask.TEXT_CLASSIFICATION in trainers()[name].tasks


def test_interrupted_after_every_chunk_it_is_the_same_bit_by_bit() -> None:
    through, resumed = fitted(started(), 6), fitted(started(), 6, interrupted=True)
    assert TRANSFORMER.dump(through) == TRANSFORMER.dump(resumed)
    assert (TRANSFORMER.predict(through, DATA) == TRANSFORMER.predict(resumed, DATA)).all()


def test_a_seed_makes_a_model_and_another_seed_another() -> None:
    first, again, other = (TRANSFORMER.dump(fitted(started(seed), 2)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_others_draw_at_random_changes_nothing() -> None:
    first = TRANSFORMER.dump(fitted(started(), 2))
    torch.manual_seed(99)
    assert TRANSFORMER.dump(fitted(started(), 2)) == first


def test_weights_change_apart_from_those_that_are_frozen() -> None:
    state = started(frozen_layers=2)
    before = {name: weight.clone() for name, weight in state.model.state_dict().items()}
    after = fitted(state, 1).model.state_dict()
    frozen = is_frozen(2)
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed == {name for name in after if not frozen(name)}
    assert any("layer.1" in name for name in changed)
    assert not any("layer.0" in name or "embeddings" in name for name in changed)


def test_it_learns() -> None:
    state = started(epochs=20, learning_rate=2e-3, frozen_layers=0)
    fraction = 0.0
    while fraction < 1:
        result = TRANSFORMER.fit(state, DATA, TARGET)
        state, fraction = result.state, result.fraction
    found = TRANSFORMER.predict(state, DATA)
    assert found.shape == (10, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == TARGET).mean() >= 0.9


def test_progress_counts_epochs_of_chunks_and_ends_without_an_optimizer() -> None:
    state = started()
    results = [TRANSFORMER.fit(state, DATA, TARGET) for _ in range(6)]
    assert [each.fraction for each in results] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert [each.worth_judging for each in results] == [False, False, True] * 2, "at the end of an epoch"
    assert state.step == batches.steps_before(10, 6, 2) == 10
    assert state.optimizer is None
    assert TRANSFORMER.fit(state, DATA, TARGET).fraction == 1
    kept = set(archive.read(io.BytesIO(TRANSFORMER.dump(state))))
    assert kept == {"config.json", "tokenizer.json", "model.safetensors", "training.json"}


def test_an_epoch_has_every_row_once_in_another_order() -> None:
    first, second = (
        [*map(int, np.concatenate([batches.chunk_rows(10, e * 3 + c, 5) for c in range(3)]))] for e in (0, 1)
    )
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_batches_hold_texts_of_about_one_length() -> None:
    tokens = [[0] * length for length in (9, 1, 8, 2, 3)]
    assert list(batches.by_length(tokens, 2)) == [[1, 3], [4, 2], [0]]


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [schedule(step, 20) for step in range(20)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(1 / 18)
    assert min(rates) > 0


def test_columns_of_texts_are_joined_and_numbers_left_out() -> None:
    frame = texts_frame(["a", "b"], title=["T", ""])
    assert batches.texts_of(frame) == ["a\nT", "b"]
    with pytest.raises(Reject, match="no input column is one"):
        batches.texts_of(type(frame)({"n": np.zeros(2)}, 2))


def test_a_base_model_that_cannot_be_used_is_refused_by_its_own_field() -> None:
    for name, says in (("missing", "no directory"), ("org/name", "allow-list")):
        with pytest.raises(Reject, match=f"^/params/config/base_model: .*{says}"):
            started(base_model=name)


def test_what_is_suggested_can_be_used() -> None:
    for trainer in (TRANSFORMER, TFIDF_LINEAR):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(10):
            assert isinstance(trainer.suggest(study.ask(), problem(), 100), trainer.config)


def test_what_is_kept_of_a_model_names_no_place_on_this_machine() -> None:
    parts = archive.read(io.BytesIO(TRANSFORMER.dump(started())))
    config = json.loads(parts["config.json"])
    assert config["model_type"] == "bert"
    assert not [value for value in config.values() if isinstance(value, str) and "/" in value]


def test_unknown_settings_are_named() -> None:
    with pytest.raises(Reject, match="/params/config/epoch: "):
        configured(TRANSFORMER, {"epoch": 3}, "/params/config")


@pytest.mark.parametrize("damage", [b"", b"PK", b"half"])
def test_bytes_that_are_no_model_are_refused(damage: bytes) -> None:
    content = TRANSFORMER.dump(started())
    with pytest.raises(ModelBroken):
        TRANSFORMER.load(content[: len(content) // 2] if damage == b"half" else damage)


def test_the_bundled_weights_can_be_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    state = TRANSFORMER.start(TRANSFORMER.config(frozen_layers=6), problem())
    assert state.model.pooling == "mean"
    assert TRANSFORMER.fit(state, DATA, TARGET).fraction == pytest.approx(1 / 30)


@pytest.mark.parametrize(("rows", "epochs"), [(10, 10), (512, 8), (1_000, 5), (100_000, 3)])
def test_few_texts_are_seen_more_often(rows: int, epochs: int) -> None:
    assert FineTuningConfig().epochs_for(rows) == epochs
    assert FineTuningConfig(epochs=2).epochs_for(rows) == 2


@pytest.mark.parametrize(
    ("precision", "device", "hardware", "narrow"),
    [
        ("auto", "cpu", True, False),
        ("auto", "cuda", True, True),
        ("auto", "cuda", False, False),
        ("bfloat16", "cpu", False, True),
        ("bfloat16", "cuda", False, True),
        ("float32", "cuda", True, False),
    ],
)
def test_bfloat16_is_chosen_where_the_hardware_has_it_or_by_name(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, hardware: bool, narrow: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: hardware)
    assert is_narrow(Precision(precision), torch.device(device)) is narrow


def test_a_gpu_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert best_device() == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert best_device() == torch.device("cuda")


def test_bfloat16_learns_too() -> None:
    state = fitted(started(precision="bfloat16"), 2)
    assert state.model.body.dtype == torch.float32
    assert np.isfinite(TRANSFORMER.predict(state, DATA)).all()


def test_tfidf_linear_learns_and_is_the_same_after_storing() -> None:
    task = Problem(LearningTask.TEXT_CLASSIFICATION, 3, 0, 1)  # of the third class there are no rows
    result = TFIDF_LINEAR.fit(TFIDF_LINEAR.start(TFIDF_LINEAR.config(), task), DATA, TARGET)
    assert result.fraction == 1
    found = TFIDF_LINEAR.predict(result.state, DATA)
    assert (found.argmax(axis=1) == TARGET).all()
    assert (found[:, 2] == 0).all()
    content = TFIDF_LINEAR.dump(result.state)
    again = TFIDF_LINEAR.load(content)
    assert (TFIDF_LINEAR.predict(again, DATA) == found).all()
    assert TFIDF_LINEAR.dump(again) == content
