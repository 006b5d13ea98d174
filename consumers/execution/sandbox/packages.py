"""Which files of this environment make up a profile: some distributions and all that they need."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

_NAME = re.compile(r"[^A-Za-z0-9._-]")


def entries(names: Iterable[str]) -> dict[str, list[str]]:
    """Folders of packages, each with the entries of it that belong to `names` or to what these need."""
    found: dict[str, set[str]] = defaultdict(set)
    for needed in _closure(names):
        for file in needed.files or ():
            folder = str(Path(str(needed.locate_file("."))).resolve())
            if file.parts[0] not in ("..", "__pycache__", "/"):
                found[folder].add(file.parts[0])
    return {folder: sorted(kept) for folder, kept in found.items()}


def missing(names: Iterable[str]) -> list[str]:
    """Those that are not installed."""
    return [name for name in names if _installed(name) is None]


def _closure(names: Iterable[str]) -> Iterator[Distribution]:
    """Requirements of extras are left out, and so are those that do not apply here, which are not installed."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen or (held := _installed(name)) is None:
            continue
        seen.add(name)
        yield held
        for requirement in held.requires or ():
            if "extra ==" not in requirement:
                waiting.append(_NAME.split(requirement, maxsplit=1)[0])  # noqa: PERF401  # a line of its own each


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None
