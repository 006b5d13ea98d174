"""Which models lie in the models folder, told by their configuration, without loading anything."""

import json
from collections.abc import Iterator
from pathlib import Path

from consumers.encoders.settings import ModelSettings

_WRITERS = ("ForCausalLM", "LMHeadModel")


def language_models(settings: ModelSettings) -> list[str]:
    """Names of directories at most two levels down, such as `team/writer`."""
    return [name for name, writes in _models(settings.models) if writes]


def encoders(settings: ModelSettings) -> list[str]:
    """The others."""
    return [name for name, writes in _models(settings.models) if not writes]


def _models(root: Path) -> Iterator[tuple[str, bool]]:
    for pattern in ("*/config.json", "*/*/config.json"):
        for config in sorted(root.glob(pattern)):
            yield str(config.parent.relative_to(root)), _writes(config)


def _writes(config: Path) -> bool:
    try:
        named = json.loads(config.read_text()).get("architectures") or []
        return any(str(name).endswith(_WRITERS) for name in named)
    except (OSError, ValueError, AttributeError):
        return False
