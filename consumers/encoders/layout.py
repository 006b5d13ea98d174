"""What a model directory says about itself: the sentence-transformers layout, or a plain transformers checkpoint."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from consumers.encoders.refusals import unsupported
from consumers.encoders.sources import ModelSource

Pooling = Literal["mean", "cls", "max"]
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
_CHAINS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


class _Module(BaseModel):
    type: str
    path: str = ""


_MODULES = TypeAdapter(list[_Module])


@dataclass(frozen=True)
class Layout:
    path: Path
    """Where the transformer, its tokenizer and its weights are."""
    weights: tuple[Path, ...]
    """The safetensors files, in name order."""
    pooling: Pooling
    normalize: bool
    """The model's last step scales to unit length."""
    max_tokens: int | None
    """The model's own limit below what its positions allow."""

    @property
    def weights_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.weights)


@dataclass(frozen=True)
class Mask:
    """What a tokenizer has for blanks."""

    text: str
    token: int


def read_layout(source: ModelSource) -> Layout:
    """Raises Reject (`model-unsupported`) for modules, poolings and file formats that we cannot run."""
    modules = _modules(source)
    path = _inside(source, modules[0].path if modules else "")
    limits = _read_json(source, path / "sentence_bert_config.json") or {}
    return Layout(
        path=path,
        weights=_weights(source, path),
        pooling=_pooling(source, _inside(source, modules[1].path)) if modules else "mean",
        normalize=len(modules) == len(_CHAINS[1]),
        max_tokens=limits.get("max_seq_length"),
    )


def _modules(source: ModelSource) -> list[_Module]:
    """The steps of a sentence-transformers model; none for a plain checkpoint."""
    listed = _read_json(source, source.path / "modules.json")
    if listed is None:
        return []
    try:
        modules = _MODULES.validate_python(listed)
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise unsupported(source.name, f"has a modules.json of an unknown shape: {what}") from error
    chain = [module.type.rpartition(".")[2] for module in modules]
    if chain not in _CHAINS:
        raise unsupported(source.name, f"is made of {' > '.join(chain)}; we run Transformer > Pooling [> Normalize]")
    return modules


def _inside(source: ModelSource, path: str) -> Path:
    """A module's directory, which must not be outside its model's."""
    found = source.path / path
    if not found.resolve().is_relative_to(source.path.resolve()):
        raise unsupported(source.name, f"has a modules.json that points to {path!r}, outside the model's directory")
    return found


def _pooling(source: ModelSource, path: Path) -> Pooling:
    config = _read_json(source, path / "config.json") or {}
    modes = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise unsupported(source.name, f"pools by {' and '.join(modes) or 'nothing'}; we pool by mean, cls or max")
    return _POOLINGS[modes[0]]


def _weights(source: ModelSource, path: Path) -> tuple[Path, ...]:
    for required in ("config.json", "tokenizer.json"):
        if not (path / required).is_file():
            raise unsupported(source.name, f"has no {required}; save model and fast tokenizer with save_pretrained()")
    found = tuple(sorted(path.glob("model*.safetensors")))
    if not found:
        raise unsupported(
            source.name, "has no model.safetensors; pickled weights run code when read, so convert them"
        )
    return found


def _read_json(source: ModelSource, path: Path) -> Any:
    """The file's content, or None when there is no such file."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise unsupported(source.name, f"has a {path.name} that is not JSON: {error}") from error
