"""A trained model as a file: what `consumers.training` writes and `consumers.prediction` loads.

A zip archive, never a pickle: `manifest.json`, and the preprocessing and members that it names, each as skops,
safetensors or a library's own text, with its digest. Equal models are equal bytes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from consumers.learning import archive, spans
from consumers.learning.archive import ModelBroken
from consumers.learning.features import Features
from consumers.learning.frame import Array, Frame
from consumers.learning.registry import AnyTrainer, trainers
from consumers.learning.rows import frame_of
from schemas.learning import LearningTask, Signature

__all__ = ["Member", "ModelBroken", "Predictions", "TrainedModel", "frame_of"]

_MANIFEST = "manifest.json"
_LIBRARIES = ("millrace", "numpy", "scikit-learn", "skops", "lightgbm", "torch")


@dataclass(frozen=True)
class Predictions:
    values: list[Any]
    """Classes as the dataset writes them, floats, or the entities of each text."""
    probabilities: Array | None
    """Shape [rows, classes]."""


@dataclass(frozen=True)
class Member:
    """One trainer's state, with the preprocessing it was fitted on; members may share that."""

    trainer: str
    state: Any
    features: Features
    weight: float
    """Its share of the answer; only the proportions matter."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _MemberPart(_Part):
    trainer: str
    weight: float
    state: str
    """The name of a part, as is the next."""
    features: str


class _Manifest(_Part):
    format: Literal["millrace-model"] = "millrace-model"
    format_version: Literal[1] = 1
    signature: Signature
    typical: dict[str, Any]
    members: list[_MemberPart]
    versions: dict[str, str]
    """Of the libraries that wrote it."""
    sha256: dict[str, str]
    """By part."""


class TrainedModel:
    def __init__(self, signature: Signature, members: Sequence[Member], typical: Mapping[str, Any]) -> None:
        self.signature = signature
        self.members = members
        self.typical = dict(typical)
        """Per input a typical value (median, most frequent), as a row gives it: what explanations compare with."""
        self._trainers: list[AnyTrainer] = [trainers()[member.trainer] for member in members]
        weights = np.array([member.weight for member in members])
        self._shares = weights / weights.sum()

    def save(self, path: Path) -> None:
        parts: dict[str, bytes] = {}
        names: dict[int, str] = {}
        listed = []
        for number, (member, trainer) in enumerate(zip(self.members, self._trainers, strict=True)):
            state = f"member-{number}.{member.trainer}"
            parts[state] = trainer.dump(member.state)
            if id(member.features) not in names:
                names[id(member.features)] = f"features-{len(names)}.skops"
                parts[names[id(member.features)]] = member.features.dump()
            weight, features = float(member.weight), names[id(member.features)]
            listed.append(_MemberPart(trainer=member.trainer, weight=weight, state=state, features=features))
        manifest = _Manifest(
            signature=self.signature,
            typical=self.typical,
            members=listed,
            versions=_versions(),
            sha256={name: hashlib.sha256(content).hexdigest() for name, content in sorted(parts.items())},
        )
        archive.write({_MANIFEST: manifest.model_dump_json().encode(), **parts}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises ModelBroken when it is no model of ours, or a part has other bytes than its digest says."""
        parts = archive.read(path)
        manifest = _manifest(parts)
        features = {name: Features.load(parts[name]) for name in {member.features for member in manifest.members}}
        members = [
            Member(part.trainer, _trainer(part).load(parts[part.state]), features[part.features], part.weight)
            for part in manifest.members
        ]
        return cls(manifest.signature, members, manifest.typical)

    def predict(self, frame: Frame) -> Predictions:
        mean, classes = self.scores(frame), self.signature.classes
        if classes is None:
            return Predictions(mean.tolist(), None)
        if self.signature.task is LearningTask.TOKEN_CLASSIFICATION:
            return Predictions(spans.listed(mean, classes), None)
        return Predictions([classes[number] for number in mean.argmax(axis=1)], mean)

    def scores(self, frame: Frame) -> Array:
        """The weighted mean of what the members say, as a trainer's `predict` gives it."""
        # Members with the same preprocessing share its matrix.
        matrices = {id(features): features.transform(frame) for features in self._all_features}
        said = [
            share * trainer.predict(member.state, matrices[id(member.features)])
            for share, trainer, member in zip(self._shares, self._trainers, self.members, strict=True)
        ]
        mean: Array = sum(said[1:], start=said[0])
        return mean

    @cached_property
    def _all_features(self) -> list[Features]:
        return list({id(member.features): member.features for member in self.members}.values())


def _versions() -> dict[str, str]:
    installed = {}
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            installed[library] = version(library)
    return installed


def _manifest(parts: Mapping[str, bytes]) -> _Manifest:
    try:
        manifest = _Manifest.model_validate_json(parts[_MANIFEST])
    except KeyError:
        raise ModelBroken(f"it has no {_MANIFEST}") from None
    except ValidationError as error:
        raise ModelBroken(f"its {_MANIFEST} is not one that this version reads: {error}") from None
    for name, digest in manifest.sha256.items():
        if name not in parts or hashlib.sha256(parts[name]).hexdigest() != digest:
            raise ModelBroken(f"the part {name} is missing or has other bytes than its digest says")
    named = {name for member in manifest.members for name in (member.state, member.features)}
    if not named or not named <= manifest.sha256.keys():
        raise ModelBroken("it names no members, or parts without a digest")
    return manifest


def _trainer(part: _MemberPart) -> AnyTrainer:
    try:
        return trainers()[part.trainer]
    except KeyError:
        raise ModelBroken(f"it was trained by {part.trainer!r}, which is not installed here") from None
