"""A model's file: the same for the same model, and nothing that was not written by us is loaded from it."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from consumers.learning import archive
from consumers.learning.archive import ModelBroken
from consumers.learning.estimators import Kept
from consumers.learning.features import Features
from consumers.learning.model import Member, TrainedModel
from consumers.learning.registry import trainers
from consumers.learning.rows import typical_row
from consumers.learning.stored import dumped, loaded
from schemas.learning import Signature
from tests.unit.learning_data import Split, featured, fitted, multiclass, regression

MEMBERS = {"hist-gradient-boosting": 3.0, "lightgbm": 2.0, "linear": 1.0, "dummy": 2.0}


def model_of(split: Split, classes: list[Any] | None) -> TrainedModel:
    signature = Signature(inputs=split.inputs, target="y", task=split.problem.task, classes=classes)
    shared: dict[Any, tuple[Features, Any]] = {}
    members = []
    for name, weight in MEMBERS.items():
        trainer = trainers()[name]
        if trainer.encoding not in shared:
            shared[trainer.encoding] = featured(trainer, split)
        features, data = shared[trainer.encoding]
        members.append(Member(name, fitted(trainer, split.problem, data, split.train[1]), features, weight))
    return TrainedModel(signature, members, typical_row(split.train[0], signature))


@pytest.fixture(scope="module")
def wine() -> tuple[Split, TrainedModel]:
    split = multiclass()
    return split, model_of(split, ["barolo", "grignolino", "barbera"])


@pytest.fixture
def file(wine: tuple[Split, TrainedModel], tmp_path: Path) -> Path:
    path = tmp_path / "model.zip"
    wine[1].save(path)
    return path


def test_a_loaded_model_answers_the_same_and_is_stored_the_same(
    wine: tuple[Split, TrainedModel], file: Path, tmp_path: Path
) -> None:
    split, model = wine
    again = TrainedModel.load(file)
    before, after = model.predict(split.test[0]), again.predict(split.test[0])
    assert before.probabilities is not None
    assert after.probabilities is not None
    assert np.array_equal(before.probabilities, after.probabilities)
    assert before.values == after.values
    assert set(before.values) == {"barolo", "grignolino", "barbera"}
    assert np.allclose(before.probabilities.sum(axis=1), 1)
    assert (again.signature, again.typical) == (model.signature, model.typical)
    again.save(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == file.read_bytes()


def test_the_answer_is_the_weighted_mean_of_the_members(wine: tuple[Split, TrainedModel]) -> None:
    split, model = wine
    frame = split.test[0]
    said = [trainers()[each.trainer].predict(each.state, each.features.transform(frame)) for each in model.members]
    mean = sum(each.weight / 8 * answer for each, answer in zip(model.members, said, strict=True))
    found = model.predict(frame).probabilities
    assert found is not None
    assert np.allclose(found, mean)


def test_numbers_are_answered_as_numbers(tmp_path: Path) -> None:
    split = regression()
    model = model_of(split, None)
    model.save(tmp_path / "model.zip")
    found = TrainedModel.load(tmp_path / "model.zip").predict(split.test[0])
    assert found.probabilities is None
    assert all(isinstance(value, float) for value in found.values)
    assert np.corrcoef(found.values, split.test[1])[0, 1] > 0.5


def test_members_share_their_preprocessing(file: Path) -> None:
    parts = archive.read(file)
    assert sorted(name for name in parts if name.startswith("features")) == [
        "features-0.skops",
        "features-1.skops",
        "features-2.skops",
    ]
    assert {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}.isdisjoint(part[:2] for part in parts.values())


def another_part(parts: dict[str, bytes]) -> None:
    parts["member-0.hist-gradient-boosting"] += b"\0"


def without_a_part(parts: dict[str, bytes]) -> None:
    del parts["features-0.skops"]


def without_a_manifest(parts: dict[str, bytes]) -> None:
    del parts["manifest.json"]


def another_format(parts: dict[str, bytes]) -> None:
    parts["manifest.json"] = parts["manifest.json"].replace(b'"format_version":1', b'"format_version":2')


def another_trainer(parts: dict[str, bytes]) -> None:
    parts["manifest.json"] = parts["manifest.json"].replace(b'"trainer":"linear"', b'"trainer":"magic"')


def without_digests(parts: dict[str, bytes]) -> None:
    manifest = json.loads(parts["manifest.json"])
    manifest["sha256"] = {}
    parts["manifest.json"] = json.dumps(manifest).encode()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (another_part, "member-0.hist-gradient-boosting is missing or has other bytes"),
        (without_a_part, "features-0.skops is missing or has other bytes"),
        (without_a_manifest, "it has no manifest.json"),
        (another_format, "not one that this version reads"),
        (another_trainer, "trained by 'magic', which is not installed here"),
        (without_digests, "parts without a digest"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    file: Path, change: Callable[[dict[str, bytes]], None], complaint: str
) -> None:
    parts = archive.read(file)
    change(parts)
    archive.write(parts, file)
    with pytest.raises(ModelBroken, match=complaint):
        TrainedModel.load(file)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(b"PK but nothing else")
    with pytest.raises(ModelBroken, match="no archive of ours"):
        TrainedModel.load(path)


def test_a_bomb_is_refused_before_it_unpacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000_000)
    archive.write({"manifest.json": b"0" * 2_000_000}, tmp_path / "model.zip")
    assert (tmp_path / "model.zip").stat().st_size < 10_000
    with pytest.raises(ModelBroken, match="2,000,000 bytes unpacked"):
        TrainedModel.load(tmp_path / "model.zip")


def test_a_part_of_types_that_nobody_trusts_is_refused(file: Path) -> None:
    """With the right digest: whoever writes the file can write that too."""
    parts = archive.read(file)
    parts["features-0.skops"] = skops.io.dumps({"encoding": "trees", "columns": [Path("/etc/passwd")]})
    manifest = json.loads(parts["manifest.json"])
    manifest["sha256"]["features-0.skops"] = hashlib.sha256(parts["features-0.skops"]).hexdigest()
    parts["manifest.json"] = json.dumps(manifest).encode()
    archive.write(parts, file)
    with pytest.raises(ModelBroken, match="Untrusted types found"):
        TrainedModel.load(file)


def test_a_function_that_nobody_trusts_is_refused() -> None:
    split = multiclass()
    trainer = trainers()["hist-gradient-boosting"]
    state = trainer.start(trainer.config(), split.problem)
    content = Kept(state.config, split.problem, {"model": len}).dump()
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    assert b'"len"' in parts["schema.json"]
    parts["schema.json"] = parts["schema.json"].replace(b'"len"', b'"eval"')
    changed = io.BytesIO()
    archive.write(parts, changed, zipfile.ZIP_STORED)
    with pytest.raises(ModelBroken, match=r"Untrusted types found.*eval"):
        trainer.load(changed.getvalue())


def test_a_part_that_claims_to_be_larger_is_refused() -> None:
    content = dumped({"a": np.zeros(100_000)})
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        archive.write({name: source.read(name) for name in source.namelist()}, packed)
    with pytest.raises(ModelBroken, match="larger than its bytes"):
        loaded(packed.getvalue())
