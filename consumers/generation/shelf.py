"""Which language models lie in the models folder, told by their configuration, without loading anything."""

import json
from collections.abc import Iterator
from pathlib import Path

from consumers.encoders.settings import ModelSettings

_WRITERS = ("ForCausalLM", "LMHeadModel")


def language_models(settings: ModelSettings) -> list[str]:
    """Names of directories at most two levels down, such as `team/writer`."""
    root = settings.models
    return sorted(str(path.relative_to(root)) for path in _folders(root) if _writes(path / "config.json"))


def _folders(root: Path) -> Iterator[Path]:
    for pattern in ("*/config.json", "*/*/config.json"):
        yield from (found.parent for found in root.glob(pattern))


def _writes(config: Path) -> bool:
    try:
        named = json.loads(config.read_text()).get("architectures") or []
        return any(str(name).endswith(_WRITERS) for name in named)
    except (OSError, ValueError, AttributeError):
        return False
